package iif

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/store"
)

// ProposeCorrection works an approved year out again and states the differences to what was paid. Members and list are fetched from the
// register before the transaction.
func (s *Service) ProposeCorrection(ctx context.Context, req *iifv1.ProposeCorrectionRequest) (*iifv1.Correction, error) {
	year, err := fundYear("financial_year", req.GetFinancialYear())
	if err != nil {
		return nil, err
	}
	if stored, found, err := change.Stored[*iifv1.Correction](ctx, s.db, req); found || err != nil {
		return stored, err
	}
	bases, err := s.bases(ctx, req.GetCommissionerCode(), year, judgedOn(year), req.GetPcnCode())
	if err != nil {
		return nil, err
	}
	if len(bases) == 0 {
		return nil, notCalculated(req.GetPcnCode(), year)
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*iifv1.Correction, error) {
		row, err := heldYear(ctx, tx, req.GetPcnCode(), year, ofCommissioner(req.GetCommissionerCode()))
		if err != nil {
			return nil, err
		}
		if err := correctable(ctx, tx, &row); err != nil {
			return nil, err
		}
		correction, result, err := s.correct(ctx, tx, &row, bases[0], req.GetReason())
		if err != nil {
			return nil, err
		}
		if err := store.InsertResults(ctx, tx.Tx, []store.ResultRow{*result}); err != nil {
			return nil, err
		}
		if err := store.InsertCorrection(ctx, tx.Tx, *correction); err != nil {
			return nil, err
		}
		summary := fmt.Sprintf("proposed to correct %s of %s by %s", yearWords(year), row.PCNCode, correction.Amount)
		if err := tellCorrection(ctx, tx, correction, summary); err != nil {
			return nil, err
		}
		return correctionToProto(correction, keptToProto(*result), true), nil
	})
}

// correctable refuses a year of which a correction would state differences to something else than what schedules hold.
func correctable(ctx context.Context, q sqldb.Querier, row *store.AchievementRow) error {
	year := yearWords(row.Year)
	switch {
	case row.Course.State != rules.Approved:
		return fault.New(fault.Refused, reasonNotApproved, "%s of %s is not approved: it is worked out again whenever what it rests on changes", year, row.PCNCode).
			With("state", row.Course.State)
	case row.ScheduleID == "":
		return fault.New(fault.Refused, reasonNotScheduled, "what was approved of %s for %s is in no schedule yet: close %s first", year, row.PCNCode, row.PaymentMonth).
			With("payment_month", row.PaymentMonth)
	}
	live, err := store.LiveCorrections(ctx, q, row.PCNCode, row.Year)
	if err != nil || len(live) == 0 {
		return err
	}
	if c := live[0]; c.State == store.CorrectionApproved {
		return fault.New(fault.Refused, reasonNotScheduled, "a correction of %s for %s is approved and in no schedule yet: close %s first", year, row.PCNCode, c.PaymentMonth).
			With("correction_id", c.ID).With("payment_month", c.PaymentMonth)
	}
	return fault.New(fault.Refused, reasonCorrectionWaits, "a correction of %s for %s waits: have it decided first", year, row.PCNCode).With("correction_id", live[0].ID)
}

// correct works the year out and sets it against what schedules hold.
func (s *Service) correct(
	ctx context.Context, tx *change.Tx, row *store.AchievementRow, b basis, reason string,
) (*store.CorrectionRow, *store.ResultRow, error) {
	all, err := s.work(ctx, tx, []basis{b})
	if err != nil {
		return nil, nil, err
	}
	lines, err := store.PaidOf(ctx, tx, []string{row.PCNCode})
	if err != nil {
		return nil, nil, err
	}
	var paid []rules.Paid
	for _, line := range lines {
		if line.Year == row.Year {
			paid = append(paid, rules.Paid{Code: line.Code, Amount: line.Amount, LineID: line.LineID})
		}
	}
	differences, err := rules.Correct(all[0].result, paid)
	if err != nil {
		return nil, nil, err
	}
	if len(differences) == 0 {
		return nil, nil, fault.New(fault.Refused, reasonNothingToCorrect, "%s of %s comes to %s, which is what was paid", yearWords(row.Year), row.PCNCode, all[0].result.Due).
			With("paid_pence", int64(all[0].result.Due))
	}
	result := all[0].row(tx, "", reason)
	out := &store.CorrectionRow{
		ID: tx.NewID(), PCNCode: row.PCNCode, CommissionerCode: row.CommissionerCode, Year: row.Year, State: store.CorrectionProposed, ResultID: result.ID,
		Reason: reason, ProposedBy: tx.By.Subject, ProposedAt: sqldb.Micros(tx.Now()), Version: 1,
	}
	for _, d := range differences {
		if out.Amount, err = out.Amount.Add(d.Amount); err != nil {
			return nil, nil, err
		}
		out.Lines = append(out.Lines, &iifv1.CorrectionLine{
			IndicatorCode: d.Code, BeforePence: int64(d.Before), AfterPence: int64(d.After), AmountPence: int64(d.Amount), AdjustsLineId: d.LineID,
			Working: working.ToProto(d.Working),
		})
	}
	return out, &result, nil
}

// tellCorrection announces and records what became of a correction.
func tellCorrection(ctx context.Context, tx *change.Tx, row *store.CorrectionRow, summary string) error {
	_, err := tx.Announce(ctx, yearAggregate(row.CommissionerCode, row.Year, row.PCNCode), row.CommissionerCode, &iifv1.CorrectionChanged{
		CorrectionId: row.ID, PcnCode: row.PCNCode, CommissionerCode: row.CommissionerCode, FinancialYear: yearWords(row.Year), State: correctionState(row.State),
		AmountPence: int64(row.Amount),
	})
	if err != nil {
		return err
	}
	return tx.Record(ctx, "iif/corrections/"+row.ID, row.CommissionerCode, summary)
}

// correctionNotFound is the one refusal for a correction that is not there and one that the caller may not see.
func correctionNotFound(id string) error {
	return fault.New(fault.NotFound, reasonCorrectionNotFound, "there is no correction %q that you may see", money.Clip(id))
}

// correctionNow fetches what the corrected year is worked out from by the register of now, for who may approve the correction.
func (s *Service) correctionNow(ctx context.Context, req *iifv1.DecideCorrectionRequest) ([]basis, error) {
	if !req.GetApprove() {
		return nil, nil
	}
	var row store.CorrectionRow
	err := s.db.Read(ctx, func(q sqldb.Querier) (err error) {
		if row, err = store.Correction(ctx, q, req.GetCorrectionId()); err != nil {
			return err
		}
		year, err := store.Achievement(ctx, q, row.PCNCode, row.Year)
		if err == nil && !ofCommissioner(req.GetCommissionerCode())(caller(ctx), &year) {
			err = sql.ErrNoRows
		}
		return err
	})
	if errors.Is(err, sql.ErrNoRows) {
		err = correctionNotFound(req.GetCorrectionId())
	}
	if err != nil {
		return nil, err
	}
	return s.ofBody(req.GetCommissionerCode())(ctx, row.PCNCode, row.Year)
}

// DecideCorrection approves a correction, which the next close schedules, or rejects it. What is approved is what the year comes to on the
// day, by the register's picture and by all figures and counts.
func (s *Service) DecideCorrection(ctx context.Context, req *iifv1.DecideCorrectionRequest) (*iifv1.Correction, error) {
	if stored, found, err := change.Stored[*iifv1.Correction](ctx, s.db, req); found || err != nil {
		return stored, err
	}
	now, err := s.correctionNow(ctx, req)
	if err != nil {
		return nil, err
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*iifv1.Correction, error) {
		row, err := store.Correction(ctx, tx, req.GetCorrectionId())
		if errors.Is(err, sql.ErrNoRows) {
			return nil, correctionNotFound(req.GetCorrectionId())
		}
		if err != nil {
			return nil, err
		}
		// Whose correction it is follows the year, which another body may have taken over since.
		year, err := heldYear(ctx, tx, row.PCNCode, row.Year, ofCommissioner(req.GetCommissionerCode()))
		if fault.ReasonOf(err) == reasonYearNotCalculated {
			err = correctionNotFound(req.GetCorrectionId())
		}
		if err != nil {
			return nil, err
		}
		if row, err = store.Correction(ctx, tx, row.ID); err != nil {
			return nil, err
		}
		if err := checkTag(req.GetEtag(), row.Version); err != nil {
			return nil, err
		}
		result, err := s.decidable(ctx, tx, &row, req)
		if err == nil && req.GetApprove() {
			err = s.upToDate(ctx, tx, &result, year.CommissionerCode, now, "reject it and propose the correction again")
		}
		if err != nil {
			return nil, err
		}
		row.CommissionerCode, row.DecidedBy, row.DecidedAt, row.DecisionReason = year.CommissionerCode, tx.By.Subject, sqldb.Micros(tx.Now()), req.GetReason()
		row.State = store.CorrectionRejected
		if req.GetApprove() {
			row.State, row.PaymentMonth = store.CorrectionApproved, period.DateOf(s.db.Now()).Month()
		}
		if changed, err := store.ChangeCorrection(ctx, tx.Tx, row); err != nil || !changed {
			return nil, staleOr(err)
		}
		row.Version++
		summary := fmt.Sprintf("decided the correction of %s of %s by %s: %s", yearWords(row.Year), row.PCNCode, row.Amount, correctionState(row.State))
		if err := tellCorrection(ctx, tx, &row, summary); err != nil {
			return nil, err
		}
		return correctionToProto(&row, keptToProto(result), true), nil
	})
}

// decidable refuses a decision that is not the caller's to make: who proposed the correction does not decide it, and who entered a figure
// or a count that the new result rests on does not approve it. A rejection pays nothing and rests on nothing, so that one is possible
// whatever has become of the result.
func (s *Service) decidable(ctx context.Context, tx *change.Tx, row *store.CorrectionRow, req *iifv1.DecideCorrectionRequest) (store.ResultRow, error) {
	result, err := store.Result(ctx, tx, row.ResultID)
	if err != nil {
		return result, err
	}
	if row.State != store.CorrectionProposed {
		return result, fault.New(fault.Refused, reasonCorrectionStateDiffers, "the correction is %s", correctionState(row.State)).With("state", correctionState(row.State))
	}
	if tx.By.Subject == row.ProposedBy {
		return result, fault.New(fault.Denied, rules.ReasonApproverIsMaker, "who proposed a correction does not decide it")
	}
	if !req.GetApprove() {
		if strings.TrimSpace(req.GetReason()) == "" {
			return result, fault.New(fault.Invalid, rules.ReasonReasonRequired, "a correction is rejected with a reason").At("reason", "why")
		}
		return result, nil
	}
	w, err := s.again(ctx, tx, result)
	if err == nil && slices.Contains(w.makers, tx.By.Subject) {
		err = fault.New(fault.Denied, rules.ReasonApproverIsMaker, "who entered figures or counts that a correction rests on does not approve it")
	}
	return result, err
}

// GetCorrection returns one correction with its workings.
func (s *Service) GetCorrection(ctx context.Context, req *iifv1.GetCorrectionRequest) (out *iifv1.Correction, err error) {
	return out, s.db.Read(ctx, func(q sqldb.Querier) error {
		row, err := store.Correction(ctx, q, req.GetCorrectionId())
		if errors.Is(err, sql.ErrNoRows) {
			return correctionNotFound(req.GetCorrectionId())
		}
		if err != nil {
			return err
		}
		year, err := store.Achievement(ctx, q, row.PCNCode, row.Year)
		if err != nil {
			return err
		}
		if !maySee(ctx, row.CommissionerCode, row.PCNCode) && !maySee(ctx, year.CommissionerCode, row.PCNCode) {
			return correctionNotFound(req.GetCorrectionId())
		}
		kept, err := store.Result(ctx, q, row.ResultID)
		if err != nil {
			return err
		}
		result, err := s.wholeToProto(ctx, q, kept)
		out = correctionToProto(&row, result, true)
		return err
	})
}

// ListCorrections returns corrections, newest first. Results come without their indicators, as in lists of years.
func (s *Service) ListCorrections(ctx context.Context, req *iifv1.ListCorrectionsRequest) (*iifv1.ListCorrectionsResponse, error) {
	by, size, err := pageOf(ctx, req)
	if err != nil {
		return nil, err
	}
	by.PCNCode = req.GetPcnCode()
	if by.Year, err = yearFilter("financial_year", req.GetFinancialYear()); err != nil {
		return nil, err
	}
	out := new(iifv1.ListCorrectionsResponse)
	return out, s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err := store.Corrections(ctx, q, by)
		if err != nil {
			return err
		}
		rows, out.NextPageToken = page.Cut(rows, size, func(r store.CorrectionRow) string { return r.ID })
		ids := make([]string, len(rows))
		for i := range rows {
			ids[i] = rows[i].ResultID
		}
		kept, err := store.Results(ctx, q, ids)
		if err != nil {
			return err
		}
		results := make(map[string]*iifv1.YearResult, len(kept))
		for _, row := range kept {
			results[row.ID] = keptToProto(row)
		}
		for i := range rows {
			out.Corrections = append(out.Corrections, correctionToProto(&rows[i], results[rows[i].ResultID], false))
		}
		return nil
	})
}

func correctionState(state store.CorrectionState) iifv1.CorrectionState {
	return iifv1.CorrectionState(state) //nolint:gosec // enum
}

func correctionToProto(r *store.CorrectionRow, result *iifv1.YearResult, withWorkings bool) *iifv1.Correction {
	out := &iifv1.Correction{
		CorrectionId: r.ID, PcnCode: r.PCNCode, CommissionerCode: r.CommissionerCode, FinancialYear: yearWords(r.Year), State: correctionState(r.State),
		Result: result, Lines: r.Lines, AmountPence: int64(r.Amount), Reason: r.Reason, ProposedBy: r.ProposedBy, ProposedAt: timestamp(r.ProposedAt),
		DecidedBy: r.DecidedBy, DecidedAt: timestamp(r.DecidedAt), DecisionReason: r.DecisionReason, ScheduleId: r.ScheduleID, Etag: versionTag(r.Version),
	}
	if !withWorkings {
		for _, line := range out.GetLines() {
			line.Working = nil
		}
	}
	return out
}
