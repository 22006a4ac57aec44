package arrs

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/store"
)

// ListSettings returns the settings of a commissioner and the defaults of England.
func (s *Service) ListSettings(ctx context.Context, req *arrsv1.ListSettingsRequest) (*arrsv1.ListSettingsResponse, error) {
	after, err := page.Key(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	scope, err := visible(ctx, req.GetCommissionerCode())
	if err != nil {
		return nil, err
	}
	var rows []store.SettingRow
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err = store.Settings(req.GetCommissionerCode()).All(ctx, q)
		return err
	})
	if err != nil {
		return nil, err
	}
	key := func(r store.SettingRow) string { return r.Name + " " + r.From.String() + " " + r.ID }
	rows = slices.DeleteFunc(rows, func(r store.SettingRow) bool {
		mine := scope == nil || r.CommissionerCode == rules.England || slices.Contains(scope, r.CommissionerCode)
		return key(r) <= after || !mine
	})
	slices.SortFunc(rows, func(a, b store.SettingRow) int { return cmp.Compare(key(a), key(b)) })
	out := new(arrsv1.ListSettingsResponse)
	rows, out.NextPageToken = page.Cut(rows, page.Size(req.GetPageSize(), defaultPage), key)
	for _, row := range rows {
		out.Settings = append(out.Settings, settingToProto(row))
	}
	for _, known := range rules.Defaults() {
		out.Defaults = append(out.Defaults, &arrsv1.SettingDefault{Name: known.Name, Value: known.Value, Takes: known.Takes})
	}
	return out, nil
}

// SetSetting changes a convention from a month on.
func (s *Service) SetSetting(ctx context.Context, req *arrsv1.SetSettingRequest) (*arrsv1.Setting, error) {
	from, err := parseMonth("from_month", req.GetFromMonth())
	if err != nil {
		return nil, err
	}
	setting := rules.Setting{CommissionerCode: orEngland(req.GetCommissionerCode()), Name: req.GetName(), Value: req.GetValue(), From: from}
	if err := setting.Check(); err != nil {
		return nil, err
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*arrsv1.Setting, error) {
		row := store.SettingRow{Setting: setting, Reason: req.GetReason(), RecordedAt: sqldb.Micros(tx.Now()), RecordedBy: tx.By.Subject}
		row.ID = tx.NewID()
		if err := store.InsertSetting(ctx, tx.Tx, row); err != nil {
			return nil, err
		}
		summary := fmt.Sprintf("%s is %s from %s: %s", row.Name, row.Value, from, row.Reason)
		return settingToProto(row), tx.Record(ctx, "arrs/settings/"+row.ID, req.GetCommissionerCode(), summary)
	})
}

// need tells whether a decision of a kind names a PCN, a role or an engagement.
type need int

const (
	never need = iota
	allowed
	required
)

// demand is what a kind of decision takes.
type demand struct {
	pcn, role, engagement need
	// oneOf asks for a role or an engagement where the kind takes either.
	oneOf bool
	// baseline asks for a role that has a baseline.
	baseline bool
	// value checks the value, which says describes; nil where the kind says it all.
	value func(text string) error
	says  string
}

// withdrawn is the value that ends a decision whose kind says it all; an empty value ends the others.
const withdrawn = "withdrawn"

var demands = map[store.DecisionKind]demand{
	store.PCNRegion:           {pcn: required, value: aRegion, says: "national, inner_london or outer_london"},
	store.BaselineWTE:         {pcn: allowed, role: required, baseline: true, value: aDecimal, says: "a decimal of at least 0"},
	store.ExemptWTE:           {pcn: required, role: required, baseline: true, value: aDecimal, says: "a decimal of at least 0"},
	store.EmployedWTE:         {pcn: required, role: required, value: aDecimal, says: "a decimal of at least 0"},
	store.OverCeilingAgreed:   {pcn: allowed, engagement: required, value: aDecimal, says: "a decimal of at least 0"},
	store.ShareAgreed:         {pcn: required, engagement: allowed, value: aShare, says: "a decimal from 0 to 1"},
	store.SubstantiveGPAgreed: {pcn: allowed, engagement: required},
	store.TrainingTestDay:     {pcn: allowed, engagement: allowed, value: aDay, says: "a day, YYYY-MM-DD"},
	store.RoleAgreed:          {pcn: allowed, role: allowed, engagement: allowed, oneOf: true},
	store.ProviderAgreed:      {pcn: required, engagement: allowed},
	store.EarlyHireAgreed:     {pcn: allowed, role: allowed, engagement: allowed, oneOf: true},
	store.TransferAgreed:      {pcn: required, role: allowed, engagement: allowed, oneOf: true},
}

var errValue = errors.New("not a value of the kind")

func aRegion(text string) error {
	if region, err := rules.ParseRegion(text); err != nil || region == rules.AllEngland {
		return errValue
	}
	return nil
}

func aDecimal(text string) error {
	_, err := readBetween("value", text, most[store.NumberLimit], true)
	return err
}

func aShare(text string) error {
	_, err := readBetween("value", text, big.NewRat(1, 1), true)
	return err
}

func aDay(text string) error {
	_, err := period.ParseDate(text)
	return err
}

// ends tells whether a decision only ends an earlier one.
func ends(d *store.DecisionRow) bool {
	if demands[d.Kind].value == nil {
		return d.Value == withdrawn
	}
	return d.Value == ""
}

// RecordDecision records what a commissioner decides or agrees. That it leads the PCN in the first month is asked of the register
// before the transaction.
func (s *Service) RecordDecision(ctx context.Context, req *arrsv1.RecordDecisionRequest) (*arrsv1.Decision, error) {
	row, err := readDecision(req)
	if err != nil {
		return nil, err
	}
	if stored, found, err := change.Stored[*arrsv1.Decision](ctx, s.db, req); found || err != nil {
		return stored, err
	}
	if err := s.subjects(ctx, row); err != nil {
		return nil, err
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*arrsv1.Decision, error) {
		row := *row
		if err := lockDecision(ctx, tx, &row); err != nil {
			return nil, err
		}
		// Taken under the locks, so that a claim which was assessed without the decision bears an earlier time.
		row.ID, row.DecidedBy, row.DecidedAt = tx.NewID(), tx.By.Subject, sqldb.Micros(s.db.Now())
		if err := store.InsertDecision(ctx, tx.Tx, row); err != nil {
			return nil, err
		}
		out := decisionToProto(row)
		return out, tx.Record(ctx, "arrs/decisions/"+row.ID, row.CommissionerCode, fmt.Sprintf("%s %s of %s %s%s from %s: %s",
			out.GetKind(), row.Value, cmp.Or(row.PCNCode, "all PCNs"), row.Role, row.EngagementID, row.From, row.Reason))
	})
}

// lockDecision orders a decision among the changes that rest on it: those of its PCN, or of all that the commissioner leads or led.
func lockDecision(ctx context.Context, tx *change.Tx, d *store.DecisionRow) error {
	if d.PCNCode != "" {
		return lockPCNs(ctx, tx, []string{d.PCNCode})
	}
	if err := tx.Lock(ctx, commissionerLock(d.CommissionerCode)); err != nil {
		return err
	}
	pcns, err := store.LedPCNs(ctx, tx, d.CommissionerCode)
	if err != nil {
		return err
	}
	return lockPCNs(ctx, tx, pcns)
}

// readDecision reads a decision and refuses what its kind does not take.
func readDecision(req *arrsv1.RecordDecisionRequest) (*store.DecisionRow, error) {
	row := &store.DecisionRow{
		CommissionerCode: req.GetCommissionerCode(), Kind: store.DecisionKind(req.GetKind()), PCNCode: req.GetPcnCode(), Role: req.GetRoleCode(),
		EngagementID: req.GetEngagementId(), Value: req.GetValue(), Reason: req.GetReason(),
	}
	var err error
	if row.From, err = parseMonth("from_month", req.GetFromMonth()); err != nil {
		return nil, err
	}
	if req.GetToMonth() != "" {
		if row.To, err = parseMonth("to_month", req.GetToMonth()); err != nil {
			return nil, err
		}
		if row.To.Before(row.From) {
			return nil, fault.New(fault.Invalid, reasonMonthMalformed, "to_month %s comes before from_month %s", row.To, row.From).At("to_month", "not before from_month")
		}
	}
	takes := demands[row.Kind]
	for _, field := range []struct {
		name, text string
		need       need
	}{{"pcn_code", row.PCNCode, takes.pcn}, {"role_code", row.Role, takes.role}, {"engagement_id", row.EngagementID, takes.engagement}} {
		switch {
		case field.text == "" && field.need == required:
			return nil, invalidDecision(req, field.name, "it is needed")
		case field.text != "" && field.need == never:
			return nil, invalidDecision(req, field.name, "it has none")
		}
	}
	if takes.oneOf && row.Role == "" && row.EngagementID == "" {
		return nil, invalidDecision(req, "role_code", "a role or an engagement is needed")
	}
	switch {
	case row.Kind == store.BaselineWTE && row.PCNCode == "" && row.Value != "" && row.Value != "0":
		return nil, invalidDecision(req, "value", "0 for all PCNs; what a PCN had in March 2019 is its own")
	case takes.value == nil && row.Value != "" && row.Value != withdrawn:
		return nil, invalidDecision(req, "value", "nothing, or "+withdrawn+" to end an earlier decision")
	case takes.value != nil && row.Value != "" && takes.value(row.Value) != nil:
		return nil, invalidDecision(req, "value", takes.says+", or nothing to end an earlier decision")
	}
	return row, nil
}

func invalidDecision(req *arrsv1.RecordDecisionRequest, field, rule string) error {
	return fault.New(fault.Invalid, reasonDecisionInvalid, "%s of %s: %s", field, req.GetKind(), rule).At(field, rule)
}

// subjects refuses a role that is not known, and a PCN or an engagement that is not the commissioner's. A decision on an engagement is
// of its PCN.
func (s *Service) subjects(ctx context.Context, row *store.DecisionRow) error {
	unknown := fault.New(fault.NotFound, reasonEngagementNotFound, "there is no engagement %q", money.Clip(row.EngagementID))
	err := s.db.Read(ctx, func(q sqldb.Querier) error {
		if row.Role != "" {
			scheme, err := s.scheme(ctx, q)
			if err != nil {
				return err
			}
			if err := checkRole(scheme, row); err != nil {
				return err
			}
		}
		if row.EngagementID == "" {
			return nil
		}
		pcn, err := store.EngagementPCN(ctx, q, row.EngagementID)
		if errors.Is(err, sql.ErrNoRows) || (err == nil && row.PCNCode != "" && row.PCNCode != pcn) {
			return unknown
		}
		row.PCNCode = pcn
		return err
	})
	if err != nil || row.PCNCode == "" {
		return err
	}
	err = s.leads(ctx, row.CommissionerCode, row.PCNCode, row.From)
	if fault.ReasonOf(err) == reasonPCNNotFound && row.EngagementID != "" {
		return unknown // nobody learns of a person elsewhere
	}
	return err
}

func checkRole(scheme *rules.Scheme, row *store.DecisionRow) error {
	role, known := scheme.Role(row.Role)
	if !known {
		return fault.New(fault.Invalid, rules.ReasonRoleUnknown, "no role %q is known", money.Clip(row.Role)).At("role_code", "a role that ListRoles shows")
	}
	if demands[row.Kind].baseline && !role.Baseline {
		return fault.New(fault.Invalid, reasonDecisionInvalid, "%s has no baseline of March 2019", role.Code).At("role_code", "a role with a baseline")
	}
	return nil
}

// leads refuses a PCN that the commissioner does not owe money to for a month: as the payer of the day, or as the body that took over
// the payer's debts.
func (s *Service) leads(ctx context.Context, commissioner, pcn string, month period.Month) error {
	snapshot, err := s.register.GetSnapshot(ctx, snapshotRequest(commissioner, month.First(), month.FinancialYear()))
	if err != nil {
		return err
	}
	for _, p := range snapshot.GetPcns() {
		if p.GetPcnCode() == pcn && p.GetOwed() {
			return nil
		}
	}
	return fault.New(fault.NotFound, reasonPCNNotFound, "%s leads no PCN %s in %s", commissioner, pcn, month)
}

// ListDecisions returns decisions, newest first: those of commissioners, and those on PCNs that the caller holds.
func (s *Service) ListDecisions(ctx context.Context, req *arrsv1.ListDecisionsRequest) (*arrsv1.ListDecisionsResponse, error) {
	by, size, err := pageOf(ctx, req)
	if err != nil {
		return nil, err
	}
	by.PCNCode = req.GetPcnCode()
	var rows []store.DecisionRow
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err = store.Decisions(ctx, q, by)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := new(arrsv1.ListDecisionsResponse)
	rows, out.NextPageToken = page.Cut(rows, size, func(r store.DecisionRow) string { return r.ID })
	for _, row := range rows {
		out.Decisions = append(out.Decisions, decisionToProto(row))
	}
	return out, nil
}

// decisionKinds pairs the kinds that a walk of claims asks for with those of the rules.
var decisionKinds = map[store.DecisionKind]rules.DecisionKind{
	store.OverCeilingAgreed: rules.OverCeilingAgreed, store.ShareAgreed: rules.ShareAgreed, store.SubstantiveGPAgreed: rules.SubstantiveGPAgreed,
	store.TrainingTestDay: rules.TrainingTestDay, store.RoleAgreed: rules.RoleAgreed, store.ProviderAgreed: rules.ProviderAgreed,
	store.EarlyHireAgreed: rules.EarlyHireAgreed, store.TransferAgreed: rules.TransferAgreed,
}

// decidedOn is what is decided about a PCN, as claims of a year take it.
type decidedOn struct {
	decisions []rules.Decision
	baselines []rules.Baseline
	employed  []rules.Employed
	regions   map[period.Month]regionDecided
}

// regionDecided is the price region of a month; national where nobody has decided on one.
type regionDecided struct {
	region  rules.Region
	decided bool
}

// decidedBy returns what decisions about a PCN come to for the months of a year. Of decisions of one subject the later one holds, month by
// month; one that ends it leaves the month without.
func decidedBy(rows []store.DecisionRow, year period.FinancialYear) (_ *decidedOn, err error) {
	out := &decidedOn{regions: make(map[period.Month]regionDecided)}
	held := standing(rows)
	for i := range held {
		if kind, asked := decisionKinds[held[i].Kind]; asked {
			decision, err := decisionOf(kind, &held[i])
			if err != nil {
				return nil, err
			}
			out.decisions = append(out.decisions, decision)
		}
	}
	for month := year.First(); !month.After(year.Last()); month = month.Add(1) {
		baselines, err := baselinesOf(held, month)
		if err != nil {
			return nil, err
		}
		out.baselines = append(out.baselines, baselines...)
		if out.regions[month], err = regionOf(held, month); err != nil {
			return nil, err
		}
	}
	out.employed, err = employedOf(held, year)
	return out, err
}

// runningMonth is the month of a year that today lies in, or the year's end that is nearest to it.
func runningMonth(year period.FinancialYear, today period.Date) period.Month {
	switch month := today.Month(); {
	case month.Before(year.First()):
		return year.First()
	case month.After(year.Last()):
		return year.Last()
	default:
		return month
	}
}

// standing cuts decisions down to the months for which no later one of the same subject was taken, and leaves out those that only end
// others. Rows come in order of being taken; what comes out is in that order, decisions for all of a commissioner's PCNs first, since
// of two that hold the later one in the list wins.
func standing(rows []store.DecisionRow) []store.DecisionRow {
	type subject struct {
		kind                  store.DecisionKind
		pcn, role, engagement string
	}
	of := func(d *store.DecisionRow) subject { return subject{d.Kind, d.PCNCode, d.Role, d.EngagementID} }
	var out []store.DecisionRow
	for _, row := range rows {
		var next []store.DecisionRow
		for _, earlier := range out {
			if of(&earlier) != of(&row) {
				next = append(next, earlier)
				continue
			}
			for _, months := range without(earlier.Months, row.Months) {
				earlier.Months = months
				next = append(next, earlier)
			}
		}
		if out = next; !ends(&row) {
			out = append(out, row)
		}
	}
	slices.SortStableFunc(out, func(a, b store.DecisionRow) int { return cmp.Compare(min(len(a.PCNCode), 1), min(len(b.PCNCode), 1)) })
	return out
}

// without returns what is left of some months when others are taken out.
func without(of, out rules.Months) (left []rules.Months) {
	if (!of.To.IsZero() && of.To.Before(out.From)) || (!out.To.IsZero() && of.From.After(out.To)) {
		return []rules.Months{of}
	}
	if of.From.Before(out.From) {
		left = append(left, rules.Months{From: of.From, To: out.From.Add(-1)})
	}
	if !out.To.IsZero() && (of.To.IsZero() || of.To.After(out.To)) {
		left = append(left, rules.Months{From: out.To.Add(1), To: of.To})
	}
	return left
}

func decisionOf(kind rules.DecisionKind, row *store.DecisionRow) (rules.Decision, error) {
	out := rules.Decision{ID: row.ID, Kind: kind, Engagement: row.EngagementID, Role: row.Role, Months: row.Months}
	r := reader{}
	switch row.Kind {
	case store.OverCeilingAgreed, store.ShareAgreed:
		out.Value = r.decimal(row.Value)
	case store.TrainingTestDay:
		out.Day = r.date(row.Value)
	default:
	}
	return out, storedDecision(row, r.err)
}

func storedDecision(row *store.DecisionRow, err error) error {
	if err != nil {
		return fmt.Errorf("decision %s: %w", row.ID, err)
	}
	return nil
}

func baselinesOf(held []store.DecisionRow, month period.Month) ([]rules.Baseline, error) {
	var out []rules.Baseline
	exempt, at := make(map[string]*big.Rat), make(map[string]int)
	for i := range held {
		row := &held[i]
		if (row.Kind != store.BaselineWTE && row.Kind != store.ExemptWTE) || !row.Covers(month) {
			continue
		}
		r := reader{}
		wte := r.decimal(row.Value)
		if err := storedDecision(row, r.err); err != nil {
			return nil, err
		}
		if row.Kind == store.ExemptWTE {
			exempt[row.Role] = wte
		} else {
			baseline := rules.Baseline{ID: row.ID, Role: row.Role, Month: month, WTE: wte, ExemptWTE: new(big.Rat)}
			if n, known := at[row.Role]; known {
				out[n] = baseline // of the PCN itself, after that of all
				continue
			}
			at[row.Role], out = len(out), append(out, baseline)
		}
	}
	for i := range out {
		if wte := exempt[out[i].Role]; wte != nil {
			out[i].ExemptWTE = wte
		}
	}
	return out, nil
}

func employedOf(held []store.DecisionRow, year period.FinancialYear) ([]rules.Employed, error) {
	var out []rules.Employed
	for i := range held {
		row := &held[i]
		if row.Kind != store.EmployedWTE {
			continue
		}
		r := reader{}
		wte := r.decimal(row.Value)
		if err := storedDecision(row, r.err); err != nil {
			return nil, err
		}
		for month := year.First(); !month.After(year.Last()); month = month.Add(1) {
			if row.Covers(month) {
				out = append(out, rules.Employed{ID: row.ID, Role: row.Role, Month: month, WTE: wte})
			}
		}
	}
	return out, nil
}

// regionOf returns the price region decided for a month; without a decision it is the national one.
func regionOf(held []store.DecisionRow, month period.Month) (regionDecided, error) {
	for i := range slices.Backward(held) {
		if row := &held[i]; row.Kind == store.PCNRegion && row.Covers(month) {
			region, err := rules.ParseRegion(row.Value)
			return regionDecided{region, true}, storedDecision(row, err)
		}
	}
	return regionDecided{region: rules.National}, nil
}
