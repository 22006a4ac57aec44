package register

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/register/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/register/internal/store"
)

// requirementRecord names a requirement in the audit log, in events and in the calendar.
func requirementRecord(id string) string { return "requirements/" + id }

// terms are the versions of requirements known at a moment, by requirement.
type terms struct {
	ids      []string // by year and identifier
	versions map[string][]store.RequirementVersion
	plain    map[string][]rules.Requirement // the same, as rules take them
}

func termsOf(versions []store.RequirementVersion) *terms {
	t := &terms{versions: make(map[string][]store.RequirementVersion), plain: make(map[string][]rules.Requirement)}
	for _, v := range versions {
		if t.versions[v.ID] == nil {
			t.ids = append(t.ids, v.ID)
		}
		t.versions[v.ID] = append(t.versions[v.ID], v)
		t.plain[v.ID] = append(t.plain[v.ID], v.Requirement)
	}
	slices.SortFunc(t.ids, func(a, b string) int {
		return cmp.Or(cmp.Compare(t.versions[a][0].Year, t.versions[b][0].Year), cmp.Compare(a, b))
	})
	return t
}

// inForce returns the version that holds for some bodies, the first of which outranks the others; none means all of England.
func (t *terms) inForce(id string, bodies []string) (store.RequirementVersion, bool) {
	at := rules.InForce(t.plain[id], bodies)
	if at < 0 {
		return store.RequirementVersion{}, false
	}
	return t.versions[id][at], true
}

// heldSince returns the day on which the program first brought the due day of a version; zero where a person recorded the version.
func (t *terms) heldSince(version *store.RequirementVersion) period.Date {
	if version.RecordedBy != seedActor {
		return period.Date{}
	}
	since := version.KnownFrom
	for _, v := range t.versions[version.ID] {
		if v.Commissioner == "" && v.LastDue() == version.LastDue() && v.KnownFrom.Before(since) {
			since = v.KnownFrom
		}
	}
	return period.DateOf(since)
}

// bodies returns those that recorded versions of a requirement, by code: first the empty one, of England.
func (t *terms) bodies(id string) []string {
	var out []string
	for _, v := range t.versions[id] {
		if !slices.Contains(out, v.Commissioner) {
			out = append(out, v.Commissioner)
		}
	}
	slices.Sort(out)
	return out
}

// tag is that of what a commissioner, or England, has to know of a requirement before it records a version.
func (t *terms) tag(id, commissioner string) string {
	var last int64
	for _, v := range t.versions[id] {
		if v.Commissioner == "" || v.Commissioner == commissioner {
			last = v.Position
		}
	}
	return strconv.FormatInt(last, 10)
}

func checkTag(given, current string) error {
	switch given {
	case current:
		return nil
	case "":
		return fault.New(fault.Invalid, rules.ReasonETagRequired, "give the etag of the last read").At("etag", "the etag of the last read, or If-Match")
	default:
		return fault.New(fault.Stale, rules.ReasonVersionChanged, "it has changed since it was read: read it again")
	}
}

func requirementUnknown(id string) *fault.Fault {
	return fault.New(fault.NotFound, rules.ReasonRequirementNotFound, "there is no requirement %q that you may see", money.Clip(id)).With("requirement_id", money.Clip(id))
}

// yearField reads a financial year as requests write it, 2025-26, since a path cannot hold 2025/26.
func yearField(text string) (period.FinancialYear, error) {
	year, err := period.ParseFinancialYear(strings.Replace(text, "-", "/", 1))
	if err != nil {
		return 0, fault.New(fault.Invalid, rules.ReasonYearMalformed, "financial_year: %q is not a financial year written YYYY-YY", money.Clip(text)).
			At("financial_year", "a year such as 2025-26")
	}
	return year, nil
}

// moments are what a request says of when: the day on which things stand, the number of the last load known, and the moment whose knowledge
// counts.
type moments struct {
	on       period.Date
	position int64
	known    time.Time
}

func (s *Service) moments(ctx context.Context, on string, knownAt *timestamppb.Timestamp) (moments, error) {
	m := moments{known: everKnown}
	var err error
	if m.on, err = dateField("on_date", on); err != nil {
		return m, err
	}
	if m.on.IsZero() {
		m.on = period.DateOf(s.db.Now())
	}
	if knownAt != nil {
		m.known = knownAt.AsTime().Truncate(time.Microsecond)
	}
	_, m.position, err = s.knownAt(ctx, knownAt)
	return m, err
}

// predecessors returns those of whom it was recorded that all they owe passes to another, by the other.
func (s *Service) predecessors(ctx context.Context, position int64) (out map[string][]string, err error) {
	err = s.db.Read(ctx, func(q sqldb.Querier) (err error) {
		out, err = store.Predecessors(ctx, q, position)
		return err
	})
	return out, err
}

// addWithPredecessors adds a code, its predecessors, and theirs.
func addWithPredecessors(codes map[string]bool, before map[string][]string, code string) {
	if codes[code] {
		return
	}
	codes[code] = true
	for _, old := range before[code] {
		addWithPredecessors(codes, before, old)
	}
}

// pictureToday returns the national picture of today, or nil while no membership is loaded.
func (s *Service) pictureToday(ctx context.Context, position int64) (*picture, error) {
	today := period.DateOf(s.db.Now())
	national, err := s.picture(ctx, today, today.Month().FinancialYear().ListDate(), position)
	if fault.ReasonOf(err) == rules.ReasonMembershipNotLoaded {
		return nil, nil //nolint:nilnil // no picture is no failure here
	}
	return national, err
}

func holdsOr(ctx context.Context, commissioner string) error {
	if by, _ := auth.From(ctx); commissioner != "" && !by.HoldsCommissioner(commissioner) {
		return fault.New(fault.NotFound, auth.ReasonNotFound, "there is no commissioner %q that you may see", money.Clip(commissioner)).
			With("commissioner_code", money.Clip(commissioner))
	}
	return nil
}

// ListRequirements returns the service requirements of the Network Contract DES as known at a moment.
func (s *Service) ListRequirements(ctx context.Context, req *registerv1.ListRequirementsRequest) (*registerv1.ListRequirementsResponse, error) {
	if err := holdsOr(ctx, req.GetCommissionerCode()); err != nil {
		return nil, err
	}
	year := ""
	if req.GetFinancialYear() != "" {
		parsed, err := yearField(req.GetFinancialYear())
		if err != nil {
			return nil, err
		}
		year = parsed.String()
	}
	after, err := page.Key(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	when, err := s.moments(ctx, "", req.GetKnownAt())
	if err != nil {
		return nil, err
	}
	bodies, err := s.bodiesUnder(ctx, req.GetCommissionerCode())
	if err != nil {
		return nil, err
	}
	t, err := s.terms(ctx, "", year, when.known)
	if err != nil {
		return nil, err
	}
	type keyed struct {
		key         string
		requirement *registerv1.Requirement
	}
	var rows []keyed
	for _, id := range t.ids {
		shown := make(map[int64]bool)
		for _, of := range bodies {
			v, found := t.inForce(id, of)
			if !found || shown[v.Position] {
				continue
			}
			shown[v.Position] = true
			key := v.Year.String() + " " + id + " " + v.Commissioner
			if key > after {
				rows = append(rows, keyed{key, requirementToProto(&v, t.tag(id, req.GetCommissionerCode()))})
			}
		}
	}
	slices.SortFunc(rows, func(a, b keyed) int { return cmp.Compare(a.key, b.key) })
	size := page.Size(req.GetPageSize(), defaultList)
	out := &registerv1.ListRequirementsResponse{}
	rows, out.NextPageToken = page.Cut(rows[:min(len(rows), size+1)], size, func(k keyed) string { return k.key })
	for _, row := range rows {
		out.Requirements = append(out.Requirements, row.requirement)
	}
	return out, nil
}

// bodiesUnder returns the chains of bodies whose versions may hold for PCNs of a commissioner; for no commissioner the one of England.
func (s *Service) bodiesUnder(ctx context.Context, commissioner string) ([][]string, error) {
	if commissioner == "" {
		return [][]string{nil}, nil
	}
	_, position, err := s.knownAt(ctx, nil)
	if err != nil {
		return nil, err
	}
	national, err := s.pictureToday(ctx, position)
	if err != nil {
		return nil, err
	}
	out := [][]string{{commissioner}}
	if national == nil {
		return out, nil
	}
	bodies, err := s.bodiesOf(ctx, position)
	if err != nil {
		return nil, err
	}
	for i := range national.PCNs {
		if slices.Contains(national.Bodies(&national.PCNs[i]), commissioner) {
			chain := bodies(national, &national.PCNs[i])
			if !slices.ContainsFunc(out, func(held []string) bool { return slices.Equal(held, chain) }) {
				out = append(out, chain)
			}
		}
	}
	if len(out) > 1 {
		out = out[1:]
	}
	return out, nil
}

// bodiesOf returns what tells the bodies that answer for a PCN, and those of whom they took over all.
func (s *Service) bodiesOf(ctx context.Context, position int64) (func(*picture, *rules.PCN) []string, error) {
	before, err := s.predecessors(ctx, position)
	if err != nil {
		return nil, err
	}
	return func(national *picture, pcn *rules.PCN) []string {
		out := national.Bodies(pcn)
		for _, code := range slices.Clone(out) {
			if len(before[code]) == 0 {
				continue
			}
			codes := make(map[string]bool)
			addWithPredecessors(codes, before, code)
			for _, old := range sortedKeys(codes) {
				if !slices.Contains(out, old) {
					out = append(out, old)
				}
			}
		}
		return out
	}, nil
}

func sortedKeys(codes map[string]bool) []string {
	out := make([]string, 0, len(codes))
	for code := range codes {
		out = append(out, code)
	}
	slices.Sort(out)
	return out
}

func (s *Service) terms(ctx context.Context, id, year string, known time.Time) (*terms, error) {
	var versions []store.RequirementVersion
	err := s.db.Read(ctx, func(q sqldb.Querier) (err error) {
		versions, err = store.Requirements(ctx, q, id, year, known)
		return err
	})
	return termsOf(versions), err
}

// GetRequirement returns one requirement with all its versions that the caller may see.
func (s *Service) GetRequirement(ctx context.Context, req *registerv1.GetRequirementRequest) (*registerv1.GetRequirementResponse, error) {
	when, err := s.moments(ctx, "", req.GetKnownAt())
	if err != nil {
		return nil, err
	}
	t, err := s.terms(ctx, req.GetRequirementId(), "", when.known)
	if err != nil {
		return nil, err
	}
	v, err := s.viewerOf(ctx)
	if err != nil {
		return nil, err
	}
	out := &registerv1.GetRequirementResponse{}
	if version, found := t.inForce(req.GetRequirementId(), nil); found {
		out.Requirement = requirementToProto(&version, t.tag(version.ID, ""))
	}
	for _, version := range t.versions[req.GetRequirementId()] {
		if v.goesBy(version.Commissioner) {
			out.Versions = append(out.Versions, requirementToProto(&version, t.tag(version.ID, version.Commissioner)))
		}
	}
	if len(out.Versions) == 0 {
		return nil, requirementUnknown(req.GetRequirementId())
	}
	return out, nil
}

// RecordRequirement adds a requirement, or a version of one.
func (s *Service) RecordRequirement(ctx context.Context, req *registerv1.RecordRequirementRequest) (*registerv1.Requirement, error) {
	if code := req.GetCommissionerCode(); code != "" {
		if err := s.checkSighted(ctx, code, store.KindLocation, store.KindSystem); err != nil {
			return nil, err
		}
	}
	stated, err := requirementFromProto(req)
	if err != nil {
		return nil, err
	}
	if !req.GetTakeBack() {
		if err := stated.Check(); err != nil {
			return nil, err
		}
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*registerv1.Requirement, error) {
		if err := tx.Lock(ctx, store.LockRequirements); err != nil {
			return nil, err
		}
		version := store.RequirementVersion{Requirement: stated, RecordedBy: tx.By.Subject, Reason: req.GetReason()}
		if err := succeed(ctx, tx, req, &version); err != nil {
			return nil, err
		}
		if err := store.AddRequirement(ctx, tx.Tx, &version, s.db.Now()); err != nil {
			return nil, err
		}
		summary := "recorded requirement " + version.ID + ": " + version.Phase
		if version.TakenBack {
			summary = "took back its own version of requirement " + version.ID
		}
		out := requirementToProto(&version, strconv.FormatInt(version.Position, 10))
		if _, err := tx.Announce(ctx, requirementRecord(version.ID)+"/"+orEngland(version.Commissioner), version.Commissioner, &registerv1.RequirementRecorded{Requirement: out}); err != nil {
			return nil, err
		}
		return out, tx.Record(ctx, requirementRecord(version.ID), version.Commissioner, summary)
	})
}

// succeed makes a version the next of its requirement, or the first of a new one.
func succeed(ctx context.Context, tx *change.Tx, req *registerv1.RecordRequirementRequest, version *store.RequirementVersion) error {
	if version.ID == "" {
		if req.GetTakeBack() {
			return requirementUnknown("")
		}
		version.ID = "req-" + tx.NewID()
		return nil
	}
	held, err := store.Requirements(ctx, tx, version.ID, "", everKnown)
	if err != nil {
		return err
	}
	t := termsOf(held)
	if !slices.ContainsFunc(held, func(v store.RequirementVersion) bool {
		return v.Commissioner == "" || v.Commissioner == version.Commissioner
	}) {
		return requirementUnknown(version.ID)
	}
	if err := checkTag(req.GetEtag(), t.tag(version.ID, version.Commissioner)); err != nil {
		return err
	}
	if year := held[0].Year; year != version.Year {
		return fault.New(fault.Refused, rules.ReasonRequirementYearFixed, "%s is of %s, not of %s: record another requirement for that year", version.ID, year, version.Year).
			At("financial_year", strings.Replace(year.String(), "/", "-", 1))
	}
	if !req.GetTakeBack() {
		return nil
	}
	own, found := t.inForce(version.ID, []string{version.Commissioner})
	if version.Commissioner == "" || !found || own.Commissioner != version.Commissioner {
		return fault.New(fault.Refused, rules.ReasonRequirementNotOwn, "there is no version of %s of your own to take back", version.ID).With("requirement_id", version.ID)
	}
	version.Requirement = own.Requirement
	version.TakenBack = true
	return nil
}

func requirementFromProto(req *registerv1.RecordRequirementRequest) (rules.Requirement, error) {
	r := rules.Requirement{
		ID: req.GetRequirementId(), Name: req.GetName(), Phase: req.GetPhase(), Focus: req.GetFocusArea(), PutOff: req.GetDeferred(),
		Evidence: req.GetEvidenceType(), HoldBasis: req.GetHoldClause(), Source: req.GetSource(), Note: req.GetNote(),
		Confidence: working.ConfidenceFromProto(req.GetConfidence()), Commissioner: req.GetCommissionerCode(),
	}
	var err error
	if r.Year, err = yearField(req.GetFinancialYear()); err != nil {
		return r, err
	}
	for _, f := range []struct {
		name, text string
		into       *period.Date
	}{
		{"start_date", req.GetStartDate(), &r.Start},
		{"due_date", req.GetDueDate(), &r.Due},
		{"other_due_date", req.GetOtherDueDate(), &r.Other},
		{"end_date", req.GetEndDate(), &r.End},
	} {
		if *f.into, err = dateField(f.name, f.text); err != nil {
			return r, err
		}
	}
	return r, nil
}

func requirementToProto(v *store.RequirementVersion, tag string) *registerv1.Requirement {
	due, stated := v.DueDay()
	out := &registerv1.Requirement{
		RequirementId: v.ID, FinancialYear: v.Year.String(), Name: v.Name, Phase: v.Phase, FocusArea: v.Focus, StartDate: v.Start.String(),
		DueDate: due.String(), OtherDueDate: v.Other.String(), EndDate: v.End.String(), Deferred: v.PutOff, EvidenceType: v.Evidence,
		HoldClause: v.HoldBasis, Source: v.Source, Confidence: working.ConfidenceToProto(v.Confidence), Note: v.Note,
		CommissionerCode: v.Commissioner, KnownFrom: timestamppb.New(v.KnownFrom), RecordedBy: v.RecordedBy, Reason: v.Reason,
		TakenBack: v.TakenBack, Missing: v.Missing(), Etag: tag,
	}
	switch {
	case due.IsZero():
		// A day that may not be relied on is shown, and named as missing until it is confirmed.
		out.DueDate = v.Due.String()
	case stated:
		out.DueBasis = registerv1.DueBasis_DUE_STATED
	default:
		out.DueBasis = registerv1.DueBasis_DUE_FROM_START
	}
	return out
}
