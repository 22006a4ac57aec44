package register

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/register/internal/files"
	"github.com/pcnfunding/pcnfunding/services/register/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/register/internal/store"
)

// recordRequest is what all requests that record one fact have in common.
type recordRequest interface {
	proto.Message
	GetRequestId() string
	GetSource() string
}

// statement is one fact to record: about whom, for which day, and how to store it.
type statement struct {
	// commissioner is the one on whose behalf it is recorded; empty for all of England.
	commissioner string
	organisation string
	// kinds are what the organisation may be; empty accepts one the register has not seen, stated for all of England.
	kinds []string
	// day is the day of the fact. A fact that corrects speaks for that day alone, others hold from it on.
	day      period.Date
	corrects bool
	applied  period.Month
	summary  string
	// pcn is a PCN the fact names beside the organisation; it must be one the register has seen.
	pcn string
	// row is the fact as a row of a file; nil where membership is set.
	row        *files.Row
	membership *rules.RecordedMembership
	// check, unless it is nil, refuses what contradicts what is known when it is stored.
	check func(context.Context, *change.Tx) error
}

// record stores one fact as a load of its own.
func (s *Service) record(ctx context.Context, req recordRequest, st statement) (*registerv1.Load, error) {
	if stored, found, err := change.Stored[*registerv1.Load](ctx, s.db, req); err != nil || found {
		return stored, err
	}
	if err := s.checkOrganisation(ctx, st); err != nil {
		return nil, err
	}
	content, err := proto.MarshalOptions{Deterministic: true}.Marshal(req)
	if err != nil {
		return nil, fmt.Errorf("record a fact: %w", err)
	}
	sum := sha256.Sum256(content)
	hash := hex.EncodeToString(sum[:])
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*registerv1.Load, error) {
		if st.check != nil {
			if err := st.check(ctx, tx); err != nil {
				return nil, err
			}
		}
		method := string(req.ProtoReflect().Descriptor().Name())
		load := store.Load{
			Load: rules.Load{
				ID: loadID(rules.Recorded, tx.By.Subject, method, req.GetRequestId(), hash), Kind: rules.Recorded, Source: req.GetSource(),
				ExtractDate: st.day,
			},
			SHA256: hash, RowsRead: 1, RowsStored: 1, LoadedBy: tx.By.Subject, AppliedFrom: st.applied, Commissioner: st.commissioner,
		}
		if err := s.addLoad(ctx, tx, &load, st.summary, func() error { return addStatement(ctx, tx.Tx, load, st) }); err != nil {
			return nil, err
		}
		return loadToProto(load), nil
	})
}

func addStatement(ctx context.Context, tx *sqldb.Tx, load store.Load, st statement) error {
	if st.membership != nil {
		return store.AddMembership(ctx, tx, load, *st.membership)
	}
	return store.AddFacts(ctx, tx, load, func(yield func(*files.Row, error) bool) { yield(st.row, nil) })
}

// checkOrganisation refuses organisations the register does not know, and those that do not belong to the commissioner on whose
// behalf the fact is recorded. What counts is today: a former commissioner must not decide what holds now, whatever day it
// names. A correction of one day may also be made by the commissioner of that day.
func (s *Service) checkOrganisation(ctx context.Context, st statement) error {
	if err := codeField("organisation_code", st.organisation); err != nil {
		return err
	}
	if st.pcn != "" {
		if err := s.checkSighted(ctx, st.pcn, store.KindPCN); err != nil {
			return err
		}
	}
	if st.commissioner == "" {
		if len(st.kinds) == 0 {
			return nil
		}
		return s.checkSighted(ctx, st.organisation, st.kinds...)
	}
	_, position, err := s.knownAt(ctx, nil)
	if err != nil {
		return err
	}
	days := []period.Date{period.DateOf(s.db.Now())}
	if st.corrects {
		days = append(days, st.day)
	}
	for _, day := range days {
		national, err := s.picture(ctx, day, day.Month().FinancialYear().ListDate(), position)
		if fault.ReasonOf(err) == rules.ReasonMembershipNotLoaded {
			continue
		}
		if err != nil {
			return err
		}
		if national.Commissions(st.commissioner, st.organisation) {
			return nil
		}
	}
	return organisationUnknown(st.organisation).With("commissioner_code", st.commissioner)
}

// checkSighted refuses a code that no load shows as one of some kinds.
func (s *Service) checkSighted(ctx context.Context, code string, kinds ...string) error {
	var known bool
	err := s.db.Read(ctx, func(q sqldb.Querier) (err error) {
		known, err = store.Sighted(ctx, q, code, kinds...)
		return err
	})
	if err == nil && !known {
		err = organisationUnknown(code)
	}
	return err
}

var populationsFromProto = map[typev1.PopulationKind]rules.PopulationKind{
	typev1.PopulationKind_POPULATION_KIND_REGISTERED: rules.Registered,
	typev1.PopulationKind_POPULATION_KIND_WEIGHTED:   rules.Weighted,
	typev1.PopulationKind_POPULATION_KIND_ADJUSTED:   rules.Adjusted,
}

// RecordPopulation records one corrected population of a practice or PCN.
func (s *Service) RecordPopulation(ctx context.Context, req *registerv1.RecordPopulationRequest) (*registerv1.Load, error) {
	kind, known := populationsFromProto[req.GetKind()]
	if !known {
		return nil, fault.New(fault.Invalid, rules.ReasonValueNotAllowed, "the kind of population is not one of the three").At("kind", "required")
	}
	reference, err := requiredDate("reference_date", req.GetReferenceDate())
	if err != nil {
		return nil, err
	}
	applied, err := monthField("applied_from_month", req.GetAppliedFromMonth())
	if err != nil {
		return nil, err
	}
	value, err := files.PopulationValue(kind, req.GetValue())
	if err != nil {
		return nil, err
	}
	organisation := strings.ToUpper(req.GetOrganisationCode())
	return s.record(ctx, req, statement{
		commissioner: req.GetCommissionerCode(), organisation: organisation, kinds: []string{store.KindPractice, store.KindPCN}, day: reference, corrects: true, applied: applied,
		summary: fmt.Sprintf("recorded %s population %s of %s on %s", kind, value, organisation, reference),
		row: &files.Row{Populations: []rules.Population{{
			Organisation: organisation, Kind: kind, Reference: reference, Value: value, AppliedFrom: applied,
		}}},
	})
}

// RecordMembership records that a practice belongs to a PCN, or to none, from a date, to a date or open.
func (s *Service) RecordMembership(ctx context.Context, req *registerv1.RecordMembershipRequest) (*registerv1.Load, error) {
	starts, err := requiredDate("effective_from", req.GetEffectiveFrom())
	if err != nil {
		return nil, err
	}
	ends, err := dateField("effective_to", req.GetEffectiveTo())
	if err != nil {
		return nil, err
	}
	if !ends.IsZero() && ends.Before(starts) {
		return nil, reversed()
	}
	m := &rules.RecordedMembership{Practice: strings.ToUpper(req.GetPracticeCode()), PCN: strings.ToUpper(req.GetPcnCode()), Starts: starts, Ends: ends}
	if m.PCN != "" {
		if err := codeField("pcn_code", m.PCN); err != nil {
			return nil, err
		}
	}
	where := "in no PCN"
	if m.PCN != "" {
		where = "in PCN " + m.PCN
	}
	return s.record(ctx, req, statement{
		commissioner: req.GetCommissionerCode(), organisation: m.Practice, pcn: m.PCN, day: starts, membership: m,
		summary: fmt.Sprintf("recorded practice %s %s from %s%s", m.Practice, where, starts, until(ends)),
	})
}

func reversed() *fault.Fault {
	return fault.New(fault.Invalid, rules.ReasonPeriodReversed, "the period ends before it starts").At("effective_to", "not before effective_from")
}

func until(ends period.Date) string {
	if ends.IsZero() {
		return ""
	}
	return " to " + ends.String()
}

// RecordPayee records the nominated payee of a PCN, or the payee of a practice, from a date.
func (s *Service) RecordPayee(ctx context.Context, req *registerv1.RecordPayeeRequest) (*registerv1.Load, error) {
	from, err := requiredDate("effective_from", req.GetEffectiveFrom())
	if err != nil {
		return nil, err
	}
	if err := codeField("payee_code", req.GetPayeeCode()); err != nil {
		return nil, err
	}
	if err := nameField("payee_name", req.GetPayeeName()); err != nil {
		return nil, err
	}
	p := &rules.Payee{
		Organisation: strings.ToUpper(req.GetOrganisationCode()), Code: strings.ToUpper(req.GetPayeeCode()),
		Name: req.GetPayeeName(), From: from,
	}
	return s.record(ctx, req, statement{
		commissioner: req.GetCommissionerCode(), organisation: p.Organisation, kinds: []string{store.KindPractice, store.KindPCN}, day: from, row: &files.Row{Payee: p},
		summary: fmt.Sprintf("recorded payee %s of %s from %s", p.Code, p.Organisation, from),
	})
}

// RecordParticipation records that a practice opts out of the DES, or takes part again, from a date. An opt-out is accepted
// only when its notice falls in a known window.
func (s *Service) RecordParticipation(ctx context.Context, req *registerv1.RecordParticipationRequest) (*registerv1.Load, error) {
	from, err := requiredDate("effective_from", req.GetEffectiveFrom())
	if err != nil {
		return nil, err
	}
	notice, err := dateField("notice_date", req.GetNoticeDate())
	if err != nil {
		return nil, err
	}
	p := &rules.Participation{Practice: strings.ToUpper(req.GetPracticeCode()), Participating: req.GetParticipating(), Notice: notice, From: from}
	if err := rules.CheckOptOut(*p, s.windows); err != nil {
		return nil, err
	}
	doing := "takes part"
	if !p.Participating {
		doing = "opts out"
	}
	return s.record(ctx, req, statement{
		commissioner: req.GetCommissionerCode(), organisation: p.Practice, kinds: []string{store.KindPractice}, day: from, row: &files.Row{Participation: p},
		summary: fmt.Sprintf("recorded that practice %s %s from %s", p.Practice, doing, from),
	})
}

// RecordCareHomeBeds records the beds of a PCN from a month on, and whether coding of residents is satisfied.
func (s *Service) RecordCareHomeBeds(ctx context.Context, req *registerv1.RecordCareHomeBedsRequest) (*registerv1.Load, error) {
	month, err := monthField("month", req.GetMonth())
	if err != nil {
		return nil, err
	}
	if month.IsZero() {
		return nil, fault.New(fault.Invalid, rules.ReasonValueMissing, "month is required").At("month", "a month, YYYY-MM")
	}
	b := &rules.Beds{PCN: strings.ToUpper(req.GetPcnCode()), Month: month, Beds: req.GetBeds(), CodingSatisfied: req.GetCodingSatisfied()}
	return s.record(ctx, req, statement{
		commissioner: req.GetCommissionerCode(), organisation: b.PCN, kinds: []string{store.KindPCN}, day: month.First(), row: &files.Row{Beds: b},
		summary: fmt.Sprintf("recorded %d care home beds of PCN %s from %s", b.Beds, b.PCN, month),
	})
}
