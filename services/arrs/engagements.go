package arrs

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"unicode"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
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

// pseudonym stands for a person: the same in every PCN, however its letters and digits are set apart, and of no use without the key. An
// empty reference has none.
func (s *Service) pseudonym(reference string) string {
	reference = strings.ToUpper(strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return r
		}
		return -1
	}, reference))
	if reference == "" {
		return ""
	}
	mac := hmac.New(sha256.New, s.personKey)
	mac.Write([]byte(reference))
	return hex.EncodeToString(mac.Sum(nil))
}

// person is the pseudonym of a reference, which has letters or digits to tell persons apart by.
func (s *Service) person(reference string) (string, error) {
	pseudonym := s.pseudonym(reference)
	if pseudonym == "" && strings.TrimSpace(reference) != "" {
		return "", fault.New(fault.Invalid, reasonEngagementInvalid, "the reference of the person holds no letter or digit").At("person_reference", "letters or digits")
	}
	return pseudonym, nil
}

// RecordEngagement records that a person works for a PCN in a role.
func (s *Service) RecordEngagement(ctx context.Context, req *arrsv1.RecordEngagementRequest) (*arrsv1.Engagement, error) {
	by, pcn := caller(ctx), req.GetPcnCode()
	if !speaksFor(by, pcn) && !prepares(by, req.GetCommissionerCode()) {
		return nil, noPCN(pcn)
	}
	// The pseudonym takes the place of the reference before anything of the request is kept, its fingerprint included.
	req = proto.CloneOf(req)
	var err error
	if req.PersonReference, err = s.person(req.GetPersonReference()); err != nil {
		return nil, err
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*arrsv1.Engagement, error) {
		if err := tx.Lock(ctx, pcnLock(pcn)); err != nil {
			return nil, err
		}
		if err := s.led(ctx, tx, by, req.GetCommissionerCode(), pcn); err != nil {
			return nil, err
		}
		row, err := s.engageOne(ctx, tx, req)
		if err != nil {
			return nil, err
		}
		return engagementToProto(row), nil
	})
}

// engageOne records an engagement of a PCN that the commissioner leads. The reference of the person is its pseudonym by now.
func (s *Service) engageOne(ctx context.Context, tx *change.Tx, req *arrsv1.RecordEngagementRequest) (*store.EngagementRow, error) {
	row := &store.EngagementRow{
		ID: tx.NewID(), PCNCode: req.GetPcnCode(), CommissionerCode: req.GetCommissionerCode(), Label: strings.TrimSpace(req.GetLabel()), Pseudonym: req.GetPersonReference(),
		RecordedBy: tx.By.Subject, RecordedAt: sqldb.Micros(tx.Now()), ChangedBy: tx.By.Subject, ChangedAt: sqldb.Micros(tx.Now()), Version: 1,
	}
	if err := s.state(ctx, tx, row, req.GetTerms()); err != nil {
		return nil, err
	}
	if err := freeLabel(ctx, tx, row); err != nil {
		return nil, err
	}
	if err := store.InsertEngagement(ctx, tx.Tx, *row); err != nil {
		return nil, err
	}
	return row, tx.Record(ctx, "arrs/engagements/"+row.ID, row.CommissionerCode, "recorded "+engagementSummary(row))
}

// freeLabel refuses a label that is empty, holds what cannot be seen, or differs from that of another engagement of the PCN in case and
// spaces alone.
func freeLabel(ctx context.Context, q sqldb.Querier, row *store.EngagementRow) error {
	unseen := func(r rune) bool { return !unicode.IsPrint(r) }
	if row.Label == "" || strings.ContainsFunc(row.Label, unseen) {
		return fault.New(fault.Invalid, reasonEngagementInvalid, "the engagement needs a label of letters that can be seen").At("label", "is empty, or holds control characters")
	}
	taken, err := store.LabelTaken(ctx, q, row)
	if err != nil {
		return err
	}
	if taken {
		return fault.New(fault.Refused, reasonLabelTaken, "%s has an engagement %q: choose another label, or change that one", row.PCNCode, row.Label).At("label", "is taken")
	}
	return nil
}

// led refuses a commissioner that does not lead the PCN by the last year that has begun and is fixed. To those of finance who do not hold the right
// one, the PCN does not exist.
func (s *Service) led(ctx context.Context, q sqldb.Querier, by auth.Principal, commissioner, pcn string) error {
	year, err := store.LeadingYear(ctx, q, pcn, s.runningYear())
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return fault.New(fault.Refused, reasonYearNotFixed, "no year of %s is fixed: its commissioner fixes one first", pcn).With("pcn_code", pcn)
	case err != nil:
		return err
	case year.CommissionerCode == commissioner:
		return nil
	case speaksFor(by, pcn):
		return fault.New(fault.Invalid, reasonCommissionerDiffers, "%s is led by %s", pcn, year.CommissionerCode).
			With("commissioner_code", year.CommissionerCode).At("commissioner_code", "does not lead the PCN")
	default:
		return noPCN(pcn)
	}
}

// ChangeEngagement states the terms of an engagement anew.
func (s *Service) ChangeEngagement(ctx context.Context, req *arrsv1.ChangeEngagementRequest) (*arrsv1.Engagement, error) {
	req = proto.CloneOf(req)
	var err error
	if req.PersonReference, err = s.person(req.GetPersonReference()); err != nil {
		return nil, err
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*arrsv1.Engagement, error) {
		before, err := visibleEngagement(ctx, tx, tx.By, req.GetEngagementId())
		if err != nil {
			return nil, err
		}
		if !speaksFor(tx.By, before.PCNCode) && !prepares(tx.By, before.CommissionerCode) {
			return nil, noEngagement(before.ID)
		}
		if err := tx.Lock(ctx, pcnLock(before.PCNCode)); err != nil {
			return nil, err
		}
		if before, err = visibleEngagement(ctx, tx, tx.By, req.GetEngagementId()); err != nil {
			return nil, err
		}
		if err := checkTag(req.GetEtag(), before.Version); err != nil {
			return nil, err
		}
		row := before
		row.Pseudonym = cmp.Or(req.GetPersonReference(), before.Pseudonym)
		row.ChangedBy, row.ChangedAt = tx.By.Subject, sqldb.Micros(tx.Now())
		if err := s.state(ctx, tx, &row, req.GetTerms()); err != nil {
			return nil, err
		}
		if label := strings.TrimSpace(req.GetLabel()); label != "" && label != before.Label {
			row.Label = label
			if err := freeLabel(ctx, tx, &row); err != nil {
				return nil, err
			}
		}
		if changed, err := store.ChangeEngagement(ctx, tx.Tx, before, row); err != nil || !changed {
			return nil, staleOr(err)
		}
		row.Version++
		return engagementToProto(&row), tx.Record(ctx, "arrs/engagements/"+row.ID, row.CommissionerCode, "changed "+engagementSummary(&row))
	})
}

// state reads terms into an engagement, or names all that is wrong with them.
func (s *Service) state(ctx context.Context, q sqldb.Querier, row *store.EngagementRow, terms *arrsv1.EngagementTerms) error {
	scheme, err := s.scheme(ctx, q)
	if err != nil {
		return err
	}
	refused := fault.New(fault.Invalid, reasonEngagementInvalid, "the engagement cannot be recorded as it is stated")
	bad := func(field, why string) { refused = refused.At("terms."+field, why) }
	day := func(field, text string) (out period.Date) {
		if text != "" {
			if out, err = period.ParseDate(text); err != nil {
				bad(field, err.Error())
			}
		}
		return out
	}
	role, known := scheme.Role(terms.GetRoleCode())
	switch {
	case !known:
		bad("role_code", fmt.Sprintf("%q is not a role: see ListRoles", money.Clip(terms.GetRoleCode())))
	case terms.GetBand() == "" && (role.Code == rules.MentalHealth || role.NeedsAgreement):
		bad("band", "the role has several bands")
	case terms.GetPost() == "" && role.Code == rules.MentalHealth:
		bad("post", "it is first or later")
	case terms.GetPost() != "" && role.Code != rules.MentalHealth:
		bad("post", "it is for mental health practitioners only")
	}
	if perWeek, err := money.ParseDecimal(terms.GetPerWeek()); err != nil || perWeek.Sign() <= 0 {
		bad("per_week", "it is not more than 0")
	}
	row.Terms, row.Role = terms, terms.GetRoleCode()
	row.Start, row.End = day("start_date", terms.GetStartDate()), day("end_date", terms.GetEndDate())
	if !row.End.IsZero() && row.End.Before(row.Start) {
		bad("end_date", "it comes before start_date")
	}
	facts := terms.GetFacts()
	day("facts.last_post_ended", facts.GetLastPostEnded())
	day("facts.trained_on", facts.GetTrainedOn())
	day("facts.transferred_on", facts.GetTransferredOn())
	if share, err := money.ParseDecimal(cmp.Or(facts.GetTrainingShare(), "1")); err != nil || share.Cmp(big.NewRat(1, 1)) > 0 {
		bad("facts.training_share", "it is not from 0 to 1")
	}
	if facts.GetTrainingShare() != "" && facts.GetTraining() == "" {
		bad("facts.training", "it is empty, and a share of it is stated")
	}
	if len(refused.Violations) > 0 {
		return refused
	}
	return nil
}

// engagementSummary says nothing of the label, which may hold a name.
func engagementSummary(e *store.EngagementRow) string {
	until := ""
	if !e.End.IsZero() {
		until = " to " + e.End.String()
	}
	return fmt.Sprintf("an engagement of %s: %s from %s%s, %s a week", e.PCNCode, e.Role, e.Start, until, e.Terms.GetPerWeek())
}

// visibleEngagement loads an engagement that the caller may see.
func visibleEngagement(ctx context.Context, q sqldb.Querier, by auth.Principal, id string) (store.EngagementRow, error) {
	row, err := store.Engagement(ctx, q, id)
	if errors.Is(err, sql.ErrNoRows) || (err == nil && !sees(by, row.CommissionerCode, row.PCNCode)) {
		return row, noEngagement(id)
	}
	return row, err
}

func noEngagement(id string) error {
	return fault.New(fault.NotFound, reasonEngagementNotFound, "there is no engagement %q that you may see", money.Clip(id))
}

// GetEngagement returns one engagement.
func (s *Service) GetEngagement(ctx context.Context, req *arrsv1.GetEngagementRequest) (out *arrsv1.Engagement, err error) {
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		row, err := visibleEngagement(ctx, q, caller(ctx), req.GetEngagementId())
		if err != nil {
			return err
		}
		out = engagementToProto(&row)
		return nil
	})
	return out, err
}

// ListEngagements returns a page of engagements, by PCN and label.
func (s *Service) ListEngagements(ctx context.Context, req *arrsv1.ListEngagementsRequest) (*arrsv1.ListEngagementsResponse, error) {
	key, err := page.Key(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := page.Size(req.GetPageSize(), defaultPage)
	by := store.EngagementFilter{Scope: scopeOf(caller(ctx)), Commissioner: req.GetCommissionerCode(), PCN: req.GetPcnCode(), Limit: size + 1}
	by.AfterPCN, by.AfterLabel, _ = strings.Cut(key, "/")
	if req.GetMonth() != "" {
		if by.Month, err = parseMonth("month", req.GetMonth()); err != nil {
			return nil, err
		}
	}
	var rows []store.EngagementRow
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err = store.Engagements(ctx, q, by)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := new(arrsv1.ListEngagementsResponse)
	rows, out.NextPageToken = page.Cut(rows, size, func(e store.EngagementRow) string { return e.PCNCode + "/" + e.Label })
	for i := range rows {
		out.Engagements = append(out.Engagements, engagementToProto(&rows[i]))
	}
	return out, nil
}

// ListOverlaps returns persons who are engaged more than once at a time in a month.
func (s *Service) ListOverlaps(ctx context.Context, req *arrsv1.ListOverlapsRequest) (*arrsv1.ListOverlapsResponse, error) {
	by := caller(ctx)
	if !oversees(by, req.GetCommissionerCode()) {
		return nil, fault.New(fault.NotFound, auth.ReasonNotFound, "there is no commissioner %q that you may see", req.GetCommissionerCode())
	}
	month, err := parseMonth("month", req.GetMonth())
	if err != nil {
		return nil, err
	}
	var rows []store.EngagementRow
	var scheme *rules.Scheme
	err = s.db.Read(ctx, func(q sqldb.Querier) (err error) {
		if scheme, err = s.scheme(ctx, q); err != nil {
			return err
		}
		rows, err = store.SharedEngagements(ctx, q, req.GetCommissionerCode(), month)
		return err
	})
	if err != nil {
		return nil, err
	}
	byID := make(map[string]*store.EngagementRow, len(rows))
	engagements := make([]rules.Engagement, 0, len(rows))
	for i := range rows {
		row := &rows[i]
		byID[row.ID] = row
		one := rules.Engagement{
			ID: row.ID, Person: row.Pseudonym, PCN: row.PCNCode, Role: row.Role, Employer: row.Terms.GetEmployerCode(), WTE: wteOf(scheme, row.Role, row.Terms.GetPerWeek()),
			Start: row.Start, End: row.End,
		}
		// Only what overlaps within the month is asked for.
		if one.Start.Before(month.First()) {
			one.Start = month.First()
		}
		if one.End.IsZero() || one.End.After(month.Last()) {
			one.End = month.Last()
		}
		engagements = append(engagements, one)
	}
	out := new(arrsv1.ListOverlapsResponse)
	for _, person := range gather(rules.Overlaps(engagements, big.NewRat(1, 1)), byID) {
		if overlap := person.proto(by, req.GetCommissionerCode()); overlap != nil {
			out.Overlaps = append(out.Overlaps, overlap)
		}
	}
	slices.SortFunc(out.GetOverlaps(), func(a, b *arrsv1.Overlap) int {
		x, y := a.GetEngagements()[0], b.GetEngagements()[0]
		return cmp.Or(cmp.Compare(x.GetPcnCode(), y.GetPcnCode()), cmp.Compare(x.GetLabel(), y.GetLabel()))
	})
	return out, nil
}

// engagedTwice is a person with several engagements at a time, and the most WTE of any day.
type engagedTwice struct {
	rows  []*store.EngagementRow
	wte   *big.Rat
	above bool
}

// gather puts the stretches of each person together.
func gather(stretches []rules.Overlap, byID map[string]*store.EngagementRow) map[string]*engagedTwice {
	out := make(map[string]*engagedTwice)
	for _, stretch := range stretches {
		if len(stretch.Engagements) < 2 {
			continue
		}
		key := byID[stretch.Engagements[0]].Pseudonym
		person := out[key]
		if person == nil {
			person = &engagedTwice{wte: new(big.Rat)}
			out[key] = person
		}
		for _, id := range stretch.Engagements {
			if !slices.Contains(person.rows, byID[id]) {
				person.rows = append(person.rows, byID[id])
			}
		}
		if stretch.WTE.Cmp(person.wte) > 0 {
			person.wte = stretch.WTE
		}
		person.above = person.above || stretch.Kind == rules.OverFullTime
	}
	return out
}

// proto shows an overlap as far as the caller may see it; nil where none of it is the commissioner's.
func (t *engagedTwice) proto(by auth.Principal, commissioner string) *arrsv1.Overlap {
	slices.SortFunc(t.rows, func(a, b *store.EngagementRow) int {
		return cmp.Or(cmp.Compare(a.PCNCode, b.PCNCode), cmp.Compare(a.Label, b.Label))
	})
	out := &arrsv1.Overlap{Wte: money.Format(t.wte), AboveOne: t.above}
	own := false
	for _, row := range t.rows {
		own = own || row.CommissionerCode == commissioner
		if oversees(by, row.CommissionerCode) {
			out.Engagements = append(out.Engagements, engagementToProto(row))
		} else if !slices.Contains(out.GetOtherPcnCodes(), row.PCNCode) {
			out.OtherPcnCodes = append(out.OtherPcnCodes, row.PCNCode)
		}
	}
	if !own {
		return nil
	}
	return out
}

// wteOf is hours or sessions a week as a part of full time; nothing where they cannot be read.
func wteOf(scheme *rules.Scheme, role, perWeek string) *big.Rat {
	kind, known := scheme.Role(role)
	value, err := money.ParseDecimal(perWeek)
	if !known || err != nil {
		return new(big.Rat)
	}
	return kind.WTE(value)
}

func engagementToProto(e *store.EngagementRow) *arrsv1.Engagement {
	return &arrsv1.Engagement{
		EngagementId: e.ID, PcnCode: e.PCNCode, CommissionerCode: e.CommissionerCode, Label: e.Label, Terms: e.Terms, PersonKnown: e.Pseudonym != "",
		RecordedBy: e.RecordedBy, RecordedAt: timestamppb.New(sqldb.FromMicros(e.RecordedAt)), ChangedBy: e.ChangedBy,
		ChangedAt: timestamppb.New(sqldb.FromMicros(e.ChangedAt)), Etag: versionTag(e.Version), EndsOn: e.End.String(),
	}
}
