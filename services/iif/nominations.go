package iif

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/store"
)

// mostNominated is how many persons may declare for a PCN; those that wait for the commissioner take a place.
const mostNominated = 2

// firstDayOfICBs is the day from which systems owe what CCGs owed before (Health and Care Act 2022).
var firstDayOfICBs = period.NewDate(2022, 7, 1)

// Nominate names a person who may declare for a PCN once the commissioner approves.
func (s *Service) Nominate(ctx context.Context, req *iifv1.NominateRequest) (*iifv1.Nomination, error) {
	person := strings.TrimSpace(req.GetPerson())
	if person == "" {
		return nil, fault.New(fault.Invalid, rules.ReasonPersonRequired, "name the person").At("person", "the subject of the person's token")
	}
	if !speaksFor(caller(ctx), req.GetPcnCode()) {
		return nil, noPCN(req.GetPcnCode())
	}
	if stored, found, err := change.Stored[*iifv1.Nomination](ctx, s.db, req); found || err != nil {
		return stored, err
	}
	commissioner, err := s.leadOf(ctx, req.GetPcnCode())
	if err != nil {
		return nil, err
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*iifv1.Nomination, error) {
		if err := tx.Lock(ctx, commissionerLock(commissioner)); err != nil {
			return nil, err
		}
		leads, err := store.Leads(ctx, tx, []string{req.GetPcnCode()})
		if err != nil {
			return nil, err
		}
		if lead, found := leads[req.GetPcnCode()]; found && lead.CommissionerCode != commissioner {
			return nil, staleOr(nil) // another body leads the PCN since
		}
		live, err := store.LiveNominations(ctx, tx, req.GetPcnCode())
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(live, func(n store.NominationRow) bool { return n.Person == person }) {
			return nil, fault.New(fault.Refused, reasonNominationExists, "the person is nominated for %s already", req.GetPcnCode()).With("pcn_code", req.GetPcnCode())
		}
		if len(live) >= mostNominated {
			return nil, fault.New(fault.Refused, reasonNominationsFull, "%s has %d persons who are nominated or wait, which is the most: end one of the nominations first",
				req.GetPcnCode(), len(live)).With("pcn_code", req.GetPcnCode()).With("nominations", len(live)).With("most", mostNominated)
		}
		row := store.NominationRow{
			ID: tx.NewID(), PCNCode: req.GetPcnCode(), CommissionerCode: commissioner, Person: person, State: store.Nominated,
			NominatedBy: tx.By.Subject, NominatedAt: sqldb.Micros(tx.Now()), Version: 1,
		}
		if err := store.InsertNomination(ctx, tx.Tx, row); err != nil {
			return nil, err
		}
		return nominationToProto(row), recordNomination(ctx, tx, &row, "nominated a person for "+row.PCNCode)
	})
}

// leadOf returns the commissioner of a PCN: of its newest year, or else as the register has it today.
func (s *Service) leadOf(ctx context.Context, pcn string) (string, error) {
	var newest store.AchievementRow
	err := s.db.Read(ctx, func(q sqldb.Querier) (err error) {
		newest, err = store.NewestAchievement(ctx, q, pcn)
		return err
	})
	if !errors.Is(err, sql.ErrNoRows) {
		return newest.CommissionerCode, err
	}
	today := period.DateOf(s.db.Now())
	location, system, err := s.placeOf(ctx, pcn, today)
	if err != nil {
		return "", err
	}
	if today.Before(firstDayOfICBs) {
		system = location
	} else if system == "" && location != "" {
		if _, system, err = s.placeOf(ctx, location, today); err != nil {
			return "", err
		}
	}
	if system == "" {
		return "", fault.New(fault.Refused, reasonCommissionerNotInForce, "the register names no commissioner of %s: load who leads it", pcn).With("pcn_code", pcn)
	}
	return system, nil
}

// placeOf returns the location and the system that the register has of an organisation on a day: what holds then, or else what came after.
func (s *Service) placeOf(ctx context.Context, code string, day period.Date) (location, system string, err error) {
	organisation, err := s.register.GetOrganisation(ctx, &registerv1.GetOrganisationRequest{OrganisationCode: code})
	if err != nil {
		return "", "", err
	}
	r := textReader{}
	best := make(map[registerv1.RelationshipKind]*registerv1.Relationship)
	for _, relationship := range organisation.GetRelationships() {
		from, to := r.date(relationship.GetEffectiveFrom()), r.date(relationship.GetEffectiveTo())
		if !to.IsZero() && to.Before(day) {
			continue
		}
		held := best[relationship.GetKind()]
		later := held != nil && r.date(held.GetEffectiveFrom()).After(day)
		// Of those that hold the last to begin, and where none does the first that will.
		if held == nil || (from.After(day) && later && from.Before(r.date(held.GetEffectiveFrom()))) ||
			(!from.After(day) && (later || from.After(r.date(held.GetEffectiveFrom())))) {
			best[relationship.GetKind()] = relationship
		}
	}
	return best[registerv1.RelationshipKind_COMMISSIONED_BY].GetOtherCode(), best[registerv1.RelationshipKind_IN_SYSTEM].GetOtherCode(), r.err
}

// nominationChange is a request that changes a nomination.
type nominationChange interface {
	proto.Message
	GetNominationId() string
	GetEtag() string
	GetReason() string
}

// changeNomination changes a nomination for who may.
func (s *Service) changeNomination(
	ctx context.Context, req nominationChange, may func(by auth.Principal, row *store.NominationRow) bool,
	alter func(tx *change.Tx, row *store.NominationRow) (summary string, err error),
) (*iifv1.Nomination, error) {
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*iifv1.Nomination, error) {
		row, err := store.Nomination(ctx, tx, req.GetNominationId())
		if errors.Is(err, sql.ErrNoRows) || (err == nil && !may(tx.By, &row)) {
			return nil, fault.New(fault.NotFound, reasonNominationNotFound, "there is no nomination %q that you may change", money.Clip(req.GetNominationId()))
		}
		if err != nil {
			return nil, err
		}
		led := row.CommissionerCode
		if err := tx.Lock(ctx, commissionerLock(led)); err != nil {
			return nil, err
		}
		if row, err = store.Nomination(ctx, tx, row.ID); err != nil {
			return nil, err
		}
		if row.CommissionerCode != led {
			return nil, staleOr(nil) // another body leads the PCN since
		}
		if err := checkTag(req.GetEtag(), row.Version); err != nil {
			return nil, err
		}
		summary, err := alter(tx, &row)
		if err != nil {
			return nil, err
		}
		row.DecidedBy, row.DecidedAt, row.Reason = tx.By.Subject, sqldb.Micros(tx.Now()), req.GetReason()
		if changed, err := store.ChangeNomination(ctx, tx.Tx, row); err != nil || !changed {
			return nil, staleOr(err)
		}
		row.Version++
		return nominationToProto(row), recordNomination(ctx, tx, &row, summary)
	})
}

func recordNomination(ctx context.Context, tx *change.Tx, row *store.NominationRow, summary string) error {
	return tx.Record(ctx, "iif/nominations/"+row.ID, row.CommissionerCode, summary)
}

// DecideNomination approves a nomination or refuses it.
func (s *Service) DecideNomination(ctx context.Context, req *iifv1.DecideNominationRequest) (*iifv1.Nomination, error) {
	may := func(by auth.Principal, row *store.NominationRow) bool {
		code := row.CommissionerCode
		return code == req.GetCommissionerCode() && (prepares(by, code) || approves(by, code))
	}
	return s.changeNomination(ctx, req, may, func(tx *change.Tx, row *store.NominationRow) (string, error) {
		switch {
		case row.State != store.Nominated:
			return "", nominationStands(row)
		case tx.By.Subject == row.Person || tx.By.Subject == row.NominatedBy:
			return "", fault.New(fault.Denied, rules.ReasonApproverIsMaker, "who is nominated, or nominated, does not decide the nomination")
		case !req.GetApprove() && strings.TrimSpace(req.GetReason()) == "":
			return "", fault.New(fault.Invalid, rules.ReasonReasonRequired, "a nomination is refused with a reason").At("reason", "why")
		}
		row.State = store.NominationApproved
		if !req.GetApprove() {
			row.State = store.NominationRefused
		}
		return fmt.Sprintf("decided a nomination for %s: %s", row.PCNCode, nominationState(row.State)), nil
	})
}

// EndNomination ends a nomination, by the PCN or the commissioner.
func (s *Service) EndNomination(ctx context.Context, req *iifv1.EndNominationRequest) (*iifv1.Nomination, error) {
	may := func(by auth.Principal, row *store.NominationRow) bool {
		return speaksFor(by, row.PCNCode) || prepares(by, row.CommissionerCode) || approves(by, row.CommissionerCode)
	}
	return s.changeNomination(ctx, req, may, func(_ *change.Tx, row *store.NominationRow) (string, error) {
		if row.State != store.Nominated && row.State != store.NominationApproved {
			return "", nominationStands(row)
		}
		row.State = store.NominationEnded
		return "ended a nomination for " + row.PCNCode, nil
	})
}

func nominationStands(row *store.NominationRow) error {
	state := nominationState(row.State)
	return fault.New(fault.Refused, reasonNominationStateDiffers, "the nomination is %s", state).With("state", state)
}

// ListNominations returns nominations, newest first.
func (s *Service) ListNominations(ctx context.Context, req *iifv1.ListNominationsRequest) (*iifv1.ListNominationsResponse, error) {
	by, size, err := pageOf(ctx, req)
	if err != nil {
		return nil, err
	}
	by.PCNCode = req.GetPcnCode()
	var rows []store.NominationRow
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err = store.Nominations(ctx, q, by, req.GetInForceOnly())
		return err
	})
	if err != nil {
		return nil, err
	}
	out := new(iifv1.ListNominationsResponse)
	rows, out.NextPageToken = page.Cut(rows, size, func(r store.NominationRow) string { return r.ID })
	for _, row := range rows {
		out.Nominations = append(out.Nominations, nominationToProto(row))
	}
	return out, nil
}

func nominationState(state store.NominationState) iifv1.NominationState {
	return iifv1.NominationState(state) //nolint:gosec // enum
}

func nominationToProto(r store.NominationRow) *iifv1.Nomination {
	return &iifv1.Nomination{
		NominationId: r.ID, PcnCode: r.PCNCode, CommissionerCode: r.CommissionerCode, Person: r.Person, State: nominationState(r.State),
		NominatedBy: r.NominatedBy, NominatedAt: timestamp(r.NominatedAt), DecidedBy: r.DecidedBy, DecidedAt: timestamp(r.DecidedAt), Reason: r.Reason,
		Etag: versionTag(r.Version),
	}
}
