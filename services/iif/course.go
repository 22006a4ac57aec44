package iif

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/outbox"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/store"
)

// takenStep is a step that was decided and is to be written. Without a step the row changes and nothing else.
type takenStep struct {
	row   store.AchievementRow
	step  store.StepRow
	event *iifv1.AchievementChanged
}

// advance takes one step of a year, by the rules. Result is what the step leaves the year with.
func (s *Service) advance(tx *change.Tx, row store.AchievementRow, event rules.Event, words string, result *store.ResultRow) (takenStep, error) {
	event.On = period.DateOf(s.db.Now())
	course, err := rules.Advance(row.Course, event)
	if err != nil {
		return takenStep{}, err
	}
	row.Course, row.ResultID = course, course.ResultID
	return takenStep{
		row: row,
		step: store.StepRow{
			PCNCode: row.PCNCode, Year: row.Year, Number: row.Version + 1, Step: event.Step, TakenBy: tx.By.Subject, TakenAt: sqldb.Micros(s.db.Now()),
			ResultID: row.ResultID, State: course.State, Cause: event.Cause, Words: words,
		},
		event: &iifv1.AchievementChanged{
			PcnCode: row.PCNCode, CommissionerCode: row.CommissionerCode, FinancialYear: yearWords(row.Year), State: states[course.State],
			Step: string(event.Step), ResultId: row.ResultID, DuePence: int64(result.Due), Whole: result.Whole, PaymentMonth: row.PaymentMonth.String(),
		},
	}, nil
}

// write stores results, and steps with the years that they leave and their events. The caller records them.
func write(ctx context.Context, tx *change.Tx, results []store.ResultRow, taken []takenStep) error {
	if err := store.InsertResults(ctx, tx.Tx, results); err != nil {
		return err
	}
	var added []store.AchievementRow
	var steps []store.StepRow
	var events []outbox.Event
	for i := range taken {
		t := &taken[i]
		if t.row.Version == 0 {
			row := t.row
			row.Version = 1
			added = append(added, row)
		} else if changed, err := store.ChangeAchievement(ctx, tx.Tx, t.row); err != nil || !changed {
			return staleOr(err)
		}
		if t.event == nil {
			continue
		}
		steps = append(steps, t.step)
		events = append(events, outbox.Event{Aggregate: yearAggregate(t.row.CommissionerCode, t.row.Year, t.row.PCNCode), CommissionerCode: t.row.CommissionerCode, Message: t.event})
	}
	if err := store.InsertAchievements(ctx, tx.Tx, added); err != nil {
		return err
	}
	if err := store.InsertSteps(ctx, tx.Tx, steps); err != nil {
		return err
	}
	_, err := outbox.AddAll(ctx, tx.Tx, events)
	return err
}

// yearAggregate names the events of a PCN's year by the body that holds it: another one takes a year over under a name of its own, so that
// all events of a name are addressed to one body.
func yearAggregate(commissioner string, year period.FinancialYear, pcn string) string {
	return "achievement/" + commissioner + "/" + yearWords(year) + "/" + pcn
}

// notCalculated is the one refusal for a year that is not there and one that the caller may not see.
func notCalculated(pcn string, year period.FinancialYear) *fault.Fault {
	return fault.New(fault.NotFound, reasonYearNotCalculated, "%s of PCN %q was not calculated, or you may not see it", yearWords(year), money.Clip(pcn)).
		With("pcn_code", money.Clip(pcn)).With("financial_year", yearWords(year)).With("remedy", "have the commissioner calculate the year")
}

// yearStep is a request that takes a step of a PCN's year.
type yearStep interface {
	proto.Message
	GetPcnCode() string
	GetFinancialYear() string
}

// mayStep tells whether someone takes a step of a year at all; in which capacity is for the rules.
type mayStep func(by auth.Principal, row *store.AchievementRow) bool

// ofNetwork lets the people of the PCN through.
func ofNetwork(by auth.Principal, row *store.AchievementRow) bool { return speaksFor(by, row.PCNCode) }

// ofCommissioner lets those through who act for the commissioner that the request names, if the year is its.
func ofCommissioner(code string) mayStep {
	return func(by auth.Principal, row *store.AchievementRow) bool {
		return row.CommissionerCode == code && (prepares(by, code) || approves(by, code))
	}
}

// heldYear returns a year under the lock of its commissioner.
func heldYear(ctx context.Context, tx *change.Tx, pcn string, year period.FinancialYear, may mayStep) (store.AchievementRow, error) {
	row, err := store.Achievement(ctx, tx, pcn, year)
	if errors.Is(err, sql.ErrNoRows) || (err == nil && !may(tx.By, &row)) {
		return row, notCalculated(pcn, year)
	}
	if err != nil {
		return row, err
	}
	led := row.CommissionerCode
	if err := tx.Lock(ctx, commissionerLock(led)); err != nil {
		return row, err
	}
	row, err = store.Achievement(ctx, tx, pcn, year)
	if err == nil && row.CommissionerCode != led {
		err = staleOr(nil) // another body took it over between
	}
	return row, err
}

// picture fetches what the year of a PCN is worked out from by the register of now; nothing where it is not owed.
type picture func(ctx context.Context, pcn string, year period.FinancialYear) ([]basis, error)

// besidePCN is the picture for people of the PCN.
func (s *Service) besidePCN(ctx context.Context, pcn string, year period.FinancialYear) ([]basis, error) {
	found, err := s.basesBeside(ctx, pcn, year, judgedOn(year))
	if refused, ok := rpc.FaultOf(err); ok && refused.Reason == auth.ReasonNotFound {
		return nil, nil
	}
	return slices.DeleteFunc(found, func(b basis) bool { return b.pcn != pcn }), err
}

// ofBody is the picture for a commissioner. One that owes nothing at all any more owes the PCN nothing either.
func (s *Service) ofBody(commissioner string) picture {
	return func(ctx context.Context, pcn string, year period.FinancialYear) ([]basis, error) {
		found, err := s.bases(ctx, commissioner, year, judgedOn(year), pcn)
		if refused, ok := rpc.FaultOf(err); ok && refused.Reason == reasonCommissionerNotInForce {
			return nil, nil
		}
		return found, err
	}
}

// upToDate refuses a result that is not what the year comes to now, by the register's picture and by all figures and counts. A change of
// figures or counts works years out again at once, but the register tells nobody of its changes, and a release may bring figures.
func (s *Service) upToDate(ctx context.Context, q sqldb.Querier, held *store.ResultRow, commissioner string, now []basis, remedy string) error {
	year := yearWords(held.Year)
	if len(now) == 0 {
		return fault.New(fault.Stale, reasonResultOutdated, "by the register %s owes nothing of %s to %s", commissioner, year, held.PCNCode).
			With("commissioner", commissioner).With("result", held.ID).With("remedy", "have the body that owes it calculate the year")
	}
	now[0].commissioner, now[0].figures, now[0].counts = commissioner, latest, latest
	all, err := s.workOut(ctx, q, now[:1], sumsOnly)
	if err != nil || all[0].digest == held.Digest {
		return err
	}
	_, what := all[0].changes(held.Basis, true)
	return fault.New(fault.Stale, reasonResultOutdated, "%s of %s comes to %s now, and the result to %s (%s): %s", year, held.PCNCode, all[0].result.Due, held.Due, what, remedy).
		With("result", held.ID).With("result_pence", int64(held.Due)).With("now_pence", int64(all[0].result.Due)).With("remedy", remedy)
}

// takeStep takes one step of a year in the name of the caller. Decide says which; what it sets of the row is written with it.
func (s *Service) takeStep(
	ctx context.Context, req yearStep, may mayStep, decide func(ctx context.Context, tx *change.Tx, row *store.AchievementRow) (rules.Event, string, error),
) (*iifv1.Achievement, error) {
	year, err := fundYear("financial_year", req.GetFinancialYear())
	if err != nil {
		return nil, err
	}
	return s.takeStepOf(ctx, req, year, may, nil, decide)
}

// takeStepOnResult takes a step that rests on the result, and only if that is up to date. The picture is fetched before the transaction.
func (s *Service) takeStepOnResult(
	ctx context.Context, req yearStep, may mayStep, now picture,
	decide func(ctx context.Context, tx *change.Tx, row *store.AchievementRow) (rules.Event, string, error),
) (*iifv1.Achievement, error) {
	year, err := fundYear("financial_year", req.GetFinancialYear())
	if err != nil {
		return nil, err
	}
	if stored, found, err := change.Stored[*iifv1.Achievement](ctx, s.db, req); found || err != nil {
		return stored, err
	}
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		row, err := store.Achievement(ctx, q, req.GetPcnCode(), year)
		if errors.Is(err, sql.ErrNoRows) || (err == nil && !may(caller(ctx), &row)) {
			err = notCalculated(req.GetPcnCode(), year)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	bases, err := now(ctx, req.GetPcnCode(), year)
	if err != nil {
		return nil, err
	}
	check := func(ctx context.Context, tx *change.Tx, row *store.AchievementRow, result *store.ResultRow) error {
		return s.upToDate(ctx, tx, result, row.CommissionerCode, bases, "have the commissioner calculate the year again")
	}
	return s.takeStepOf(ctx, req, year, may, check, decide)
}

// takeStepOf takes a step, unless the check of the result refuses what the rules let pass.
func (s *Service) takeStepOf(
	ctx context.Context, req yearStep, year period.FinancialYear, may mayStep,
	check func(ctx context.Context, tx *change.Tx, row *store.AchievementRow, result *store.ResultRow) error,
	decide func(ctx context.Context, tx *change.Tx, row *store.AchievementRow) (rules.Event, string, error),
) (*iifv1.Achievement, error) {
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*iifv1.Achievement, error) {
		row, err := heldYear(ctx, tx, req.GetPcnCode(), year, may)
		if err != nil {
			return nil, err
		}
		result, err := store.Result(ctx, tx, row.ResultID)
		if err != nil {
			return nil, err
		}
		event, words, err := decide(ctx, tx, &row)
		if err != nil {
			return nil, err
		}
		taken, err := s.advance(tx, row, event, words, &result)
		if err != nil {
			return nil, err
		}
		if check != nil {
			if err := check(ctx, tx, &row, &result); err != nil {
				return nil, err
			}
		}
		if err := write(ctx, tx, nil, []takenStep{taken}); err != nil {
			return nil, err
		}
		summary := fmt.Sprintf("%s of %s: %s, now %s", row.PCNCode, yearWords(year), event.Step, taken.row.Course.State)
		if err := tx.Record(ctx, "iif/"+yearAggregate(row.CommissionerCode, year, row.PCNCode), row.CommissionerCode, summary); err != nil {
			return nil, err
		}
		taken.row.Version++
		out, err := s.achievements(ctx, tx, []store.AchievementRow{taken.row})
		if err != nil {
			return nil, err
		}
		return out[0], s.addSteps(ctx, tx, &taken.row, out[0])
	})
}

// network is the caller as someone of the PCN. A nomination counts that the commissioner of the year approved, or that of the PCN's newest
// year, to which nominations go.
func network(ctx context.Context, q sqldb.Querier, by auth.Principal, row *store.AchievementRow) (rules.Actor, error) {
	out := rules.Actor{Person: by.Subject, Role: rules.RolePCNManager}
	if !by.HasRole(optionsv1.Role_ROLE_PCN_MANAGER) {
		out.Role = rules.RoleClinicalDirector
	}
	nominations, err := store.LiveNominations(ctx, q, row.PCNCode)
	if err != nil {
		return out, err
	}
	leads, err := store.Leads(ctx, q, []string{row.PCNCode})
	out.Nominated = slices.ContainsFunc(nominations, func(n store.NominationRow) bool {
		approved := n.CommissionerCode == row.CommissionerCode || n.CommissionerCode == leads[row.PCNCode].CommissionerCode
		return approved && n.Person == by.Subject && n.State == store.NominationApproved
	})
	return out, err
}

// finance is the caller as someone of the commissioner: as an approver who is one.
func finance(by auth.Principal) rules.Actor {
	out := rules.Actor{Person: by.Subject, Role: rules.RolePreparer}
	if by.HasRole(optionsv1.Role_ROLE_FINANCE_APPROVER) {
		out.Role = rules.RoleApprover
	}
	return out
}

// DeclareAchievement is the PCN's declaration of the result it saw.
func (s *Service) DeclareAchievement(ctx context.Context, req *iifv1.DeclareAchievementRequest) (*iifv1.Achievement, error) {
	decide := func(ctx context.Context, tx *change.Tx, row *store.AchievementRow) (rules.Event, string, error) {
		by, err := network(ctx, tx, tx.By, row)
		return rules.Event{Step: rules.ProviderDeclares, By: by, ResultID: req.GetResultId()}, "", err
	}
	return s.takeStepOnResult(ctx, req, ofNetwork, s.besidePCN, decide)
}

// CommitReinvestment records the PCN's commitment to reinvest the money.
func (s *Service) CommitReinvestment(ctx context.Context, req *iifv1.CommitReinvestmentRequest) (*iifv1.Achievement, error) {
	return s.takeStep(ctx, req, ofNetwork, func(ctx context.Context, tx *change.Tx, row *store.AchievementRow) (rules.Event, string, error) {
		by, err := network(ctx, tx, tx.By, row)
		commitment := rules.Commitment{Person: by.Person, On: period.DateOf(s.db.Now()), Year: row.Year, Text: req.GetText()}
		return rules.Event{Step: rules.Commits, By: by, Commitment: commitment}, req.GetText(), err
	})
}

// AppealAchievement contests the result.
func (s *Service) AppealAchievement(ctx context.Context, req *iifv1.AppealAchievementRequest) (*iifv1.Achievement, error) {
	return s.takeStep(ctx, req, ofNetwork, func(ctx context.Context, tx *change.Tx, row *store.AchievementRow) (rules.Event, string, error) {
		by, err := network(ctx, tx, tx.By, row)
		return rules.Event{Step: rules.Appeals, By: by, Reason: req.GetReason()}, req.GetReason(), err
	})
}

// DecideAppeal upholds an appeal or dismisses it.
func (s *Service) DecideAppeal(ctx context.Context, req *iifv1.DecideAppealRequest) (*iifv1.Achievement, error) {
	return s.takeStep(ctx, req, ofCommissioner(req.GetCommissionerCode()), func(_ context.Context, tx *change.Tx, _ *store.AchievementRow) (rules.Event, string, error) {
		event := rules.Event{Step: rules.AppealDecided, By: finance(tx.By), Reason: req.GetReason(), Verdict: verdictOf(req.GetVerdict())}
		return event, string(event.Verdict) + ": " + req.GetReason(), nil
	})
}

// AcceptAchievement is the commissioner's declaration of the result it saw.
func (s *Service) AcceptAchievement(ctx context.Context, req *iifv1.AcceptAchievementRequest) (*iifv1.Achievement, error) {
	decide := func(_ context.Context, tx *change.Tx, _ *store.AchievementRow) (rules.Event, string, error) {
		return rules.Event{Step: rules.CommissionerDeclares, By: finance(tx.By), ResultID: req.GetResultId()}, "", nil
	}
	return s.takeStepOnResult(ctx, req, ofCommissioner(req.GetCommissionerCode()), s.ofBody(req.GetCommissionerCode()), decide)
}

// ApprovePayment approves the money of a declared result, and says in which run it is paid.
func (s *Service) ApprovePayment(ctx context.Context, req *iifv1.ApprovePaymentRequest) (*iifv1.Achievement, error) {
	decide := func(ctx context.Context, tx *change.Tx, row *store.AchievementRow) (rules.Event, string, error) {
		event := rules.Event{Step: rules.FinanciallyApproves, By: finance(tx.By), ResultID: req.GetResultId(), On: period.DateOf(s.db.Now())}
		// What the rules refuse of the course is said before that a run is missing.
		if _, err := rules.Advance(row.Course, event); err != nil {
			return event, "", err
		}
		scheme, _, err := s.scheme(ctx, tx, latest)
		if err != nil {
			return event, "", err
		}
		run, err := rules.RunFor(scheme, rules.Query{Year: row.Year, Commissioner: row.CommissionerCode, Predecessor: row.PayerCode}, event.On)
		if err != nil {
			return event, "", err
		}
		authors, err := store.Authors(ctx, tx, []string{run.ID}, nil, seededBy)
		if err != nil {
			return event, "", err
		}
		if slices.Contains(authors, tx.By.Subject) {
			return event, "", fault.New(fault.Denied, rules.ReasonApproverIsMaker, "who entered the payment run of %s does not approve money into it", run.PayOn).
				With("figure_id", run.ID)
		}
		row.PaymentRunID, row.PaymentMonth = run.ID, run.PayOn.Month()
		return event, fmt.Sprintf("paid on %s", run.PayOn), nil
	}
	return s.takeStepOnResult(ctx, req, ofCommissioner(req.GetCommissionerCode()), s.ofBody(req.GetCommissionerCode()), decide)
}
