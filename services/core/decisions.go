package core

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	corev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	"github.com/pcnfunding/pcnfunding/services/core/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/core/internal/store"
)

// ListSettings returns the settings of a commissioner and the defaults of England.
func (s *Service) ListSettings(ctx context.Context, req *corev1.ListSettingsRequest) (*corev1.ListSettingsResponse, error) {
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
		rows, err = store.Settings(ctx, q, req.GetCommissionerCode(), s.knownAt(0))
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
	out := new(corev1.ListSettingsResponse)
	rows, out.NextPageToken = page.Cut(rows, page.Size(req.GetPageSize(), defaultPage), key)
	for _, row := range rows {
		out.Settings = append(out.Settings, settingToProto(row))
	}
	return out, nil
}

// SetSetting changes a convention from a month on.
func (s *Service) SetSetting(ctx context.Context, req *corev1.SetSettingRequest) (*corev1.Setting, error) {
	from, err := parseMonth("from_month", req.GetFromMonth())
	if err != nil {
		return nil, err
	}
	if err := checkSetting(req); err != nil {
		return nil, err
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*corev1.Setting, error) {
		if req.GetPaymentCode() != "" {
			if err := knownPayment(ctx, tx, req.GetPaymentCode()); err != nil {
				return nil, err
			}
		}
		row := store.SettingRow{
			Setting: rules.Setting{
				ID: tx.NewID(), CommissionerCode: orEngland(req.GetCommissionerCode()), Name: req.GetName(),
				PaymentCode: req.GetPaymentCode(), Value: req.GetValue(), From: from,
			},
			Reason: req.GetReason(), RecordedAt: sqldb.Micros(tx.Now()), RecordedBy: tx.By.Subject,
		}
		if err := store.InsertSetting(ctx, tx.Tx, row); err != nil {
			return nil, err
		}
		out := settingToProto(row)
		if _, err := tx.Announce(ctx, "setting/"+row.CommissionerCode, req.GetCommissionerCode(), &corev1.SettingChanged{Setting: out}); err != nil {
			return nil, err
		}
		summary := fmt.Sprintf("%s %s is %s from %s: %s", row.Name, row.PaymentCode, row.Value, from, row.Reason)
		return out, tx.Record(ctx, "core/settings/"+row.ID, req.GetCommissionerCode(), summary)
	})
}

func checkSetting(req *corev1.SetSettingRequest) error {
	invalid := func(field, allowed string) error {
		return fault.New(fault.Invalid, rules.ReasonSettingInvalid, "%s: one of %s", field, allowed).At(field, "one of "+allowed)
	}
	switch req.GetName() {
	case rules.SettingConvention:
		if _, err := rules.ParseConvention(req.GetValue()); err != nil {
			return invalid("value", "PCN_ANNUAL, PCN_MONTHLY_RATE, PRACTICE_SUM, RESIDUAL_LAST")
		}
	case rules.SettingMembershipAt:
		if req.GetValue() != rules.MembershipAtMonth && req.GetValue() != rules.MembershipAtYear {
			return invalid("value", "MONTH, YEAR")
		}
		if req.GetPaymentCode() != "" {
			return invalid("payment_code", "none: members are those of all payments")
		}
		if req.GetCommissionerCode() != "" {
			return invalid("commissioner_code", "none: a successor would count other members than its predecessor did")
		}
	default:
		return invalid("name", "CONVENTION, MEMBERSHIP_AT")
	}
	return nil
}

func knownPayment(ctx context.Context, q sqldb.Querier, payment string) error {
	rates, err := store.Rates(ctx, q, whenever)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(rates, func(r store.RateRow) bool { return r.PaymentCode == payment }) {
		return fault.New(fault.Invalid, rules.ReasonPaymentUnknown, "no payment %q is known", payment).At("payment_code", "a payment that ListRates shows")
	}
	return nil
}

func parseMonth(field, text string) (period.Month, error) {
	month, err := period.ParseMonth(text)
	if err != nil {
		return month, fault.New(fault.Invalid, rules.ReasonMonthMalformed, "%s: %v", field, err).At(field, err.Error())
	}
	return month, nil
}

// WithholdPayment stops one payment of one PCN from a month on.
func (s *Service) WithholdPayment(ctx context.Context, req *corev1.WithholdPaymentRequest) (*corev1.Withholding, error) {
	from, err := parseMonth("from_month", req.GetFromMonth())
	if err != nil {
		return nil, err
	}
	var to period.Month
	if req.GetToMonth() != "" {
		if to, err = parseMonth("to_month", req.GetToMonth()); err != nil {
			return nil, err
		}
		if to.Before(from) {
			return nil, fault.New(fault.Invalid, rules.ReasonMonthMalformed, "to_month %s comes before from_month %s", to, from).At("to_month", "not before from_month")
		}
	}
	if stored, found, err := change.Stored[*corev1.Withholding](ctx, s.db, req); found || err != nil {
		return stored, err
	}
	if err := s.leads(ctx, req.GetCommissionerCode(), req.GetPcnCode(), from); err != nil {
		return nil, err
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*corev1.Withholding, error) {
		if err := knownPayment(ctx, tx, req.GetPaymentCode()); err != nil {
			return nil, err
		}
		row := store.WithholdingRow{
			Withholding: rules.Withholding{
				ID: tx.NewID(), PCNCode: req.GetPcnCode(), PaymentCode: req.GetPaymentCode(), From: from, To: to, Reason: req.GetReason(),
			},
			CommissionerCode: req.GetCommissionerCode(), WithheldBy: tx.By.Subject, WithheldAt: sqldb.Micros(tx.Now()), Version: 1,
		}
		if err := store.InsertWithholding(ctx, tx.Tx, row); err != nil {
			return nil, err
		}
		out := withholdingToProto(row)
		if _, err := tx.Announce(ctx, "pcn/"+row.CommissionerCode+"/"+row.PCNCode, row.CommissionerCode, &corev1.PaymentWithheld{Withholding: out}); err != nil {
			return nil, err
		}
		summary := fmt.Sprintf("withheld %s of %s from %s: %s", row.PaymentCode, row.PCNCode, from, row.Reason)
		return out, tx.Record(ctx, "core/withholdings/"+row.ID, row.CommissionerCode, summary)
	})
}

// leads refuses a PCN that the commissioner does not owe money to for a month: as the payer of the day, or as the body that took
// over the payer's debts.
func (s *Service) leads(ctx context.Context, commissioner, pcn string, month period.Month) error {
	snapshot, err := s.register.GetSnapshot(ctx, snapshotRequest(commissioner, month.First(), month, 0))
	if err != nil {
		return err
	}
	for _, p := range snapshot.GetPcns() {
		if p.GetPcnCode() == pcn && p.GetOwed() {
			return nil
		}
	}
	return fault.New(fault.NotFound, rules.ReasonPCNNotFound, "%s leads no PCN %s in %s", commissioner, pcn, month)
}

// ReleasePayment ends a withholding: of the commissioner's own, or of a body whose debts to the PCN it took over.
func (s *Service) ReleasePayment(ctx context.Context, req *corev1.ReleasePaymentRequest) (*corev1.Withholding, error) {
	if stored, found, err := change.Stored[*corev1.Withholding](ctx, s.db, req); found || err != nil {
		return stored, err
	}
	if err := s.mayRelease(ctx, req); err != nil {
		return nil, err
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*corev1.Withholding, error) {
		row, err := store.Withholding(ctx, tx, req.GetWithholdingId())
		if err != nil {
			return nil, err
		}
		if err := checkTag(req.GetEtag(), row.Version); err != nil {
			return nil, err
		}
		if row.ReleasedAt != 0 {
			return nil, fault.New(fault.Refused, rules.ReasonWithholdingReleased, "withholding %s was released by %s", row.ID, row.ReleasedBy)
		}
		row.ReleasedBy, row.ReleasedAt, row.ReleaseReason = tx.By.Subject, sqldb.Micros(tx.Now()), req.GetReason()
		if changed, err := store.ReleaseWithholding(ctx, tx.Tx, row); err != nil || !changed {
			return nil, staleOr(err)
		}
		row.Version++
		out := withholdingToProto(row)
		if _, err := tx.Announce(ctx, "pcn/"+row.CommissionerCode+"/"+row.PCNCode, row.CommissionerCode, &corev1.PaymentReleased{Withholding: out}); err != nil {
			return nil, err
		}
		return out, tx.Record(ctx, "core/withholdings/"+row.ID, row.CommissionerCode, fmt.Sprintf("released %s of %s: %s", row.PaymentCode, row.PCNCode, req.GetReason()))
	})
}

// mayRelease refuses a withholding of which the commissioner is neither the author nor the successor.
func (s *Service) mayRelease(ctx context.Context, req *corev1.ReleasePaymentRequest) error {
	unknown := fault.New(fault.NotFound, rules.ReasonWithholdingNotFound, "there is no withholding %q", req.GetWithholdingId())
	var row store.WithholdingRow
	err := s.db.Read(ctx, func(q sqldb.Querier) (err error) {
		row, err = store.Withholding(ctx, q, req.GetWithholdingId())
		return err
	})
	if errors.Is(err, sql.ErrNoRows) {
		return unknown
	}
	if err != nil || row.CommissionerCode == req.GetCommissionerCode() {
		return err
	}
	if s.leads(ctx, req.GetCommissionerCode(), row.PCNCode, row.From) != nil {
		return unknown
	}
	return nil
}

// checkTag compares a tag with the version that stands; an empty one is refused, because the caller must have read first.
func checkTag(tag string, version int64) error {
	switch tag {
	case versionTag(version):
		return nil
	case "":
		return fault.New(fault.Invalid, rules.ReasonETagRequired, "give the etag of the last read").At("etag", "the etag of the last read, or If-Match")
	default:
		return staleOr(nil)
	}
}

func staleOr(err error) error {
	if err != nil {
		return err
	}
	return fault.New(fault.Stale, rules.ReasonVersionChanged, "it has changed since it was read: read it again")
}

// ListWithholdings returns withholdings, newest first.
func (s *Service) ListWithholdings(ctx context.Context, req *corev1.ListWithholdingsRequest) (*corev1.ListWithholdingsResponse, error) {
	before, err := page.Key(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	scope, err := visible(ctx, req.GetCommissionerCode())
	if err != nil {
		return nil, err
	}
	size := page.Size(req.GetPageSize(), defaultPage)
	var rows []store.WithholdingRow
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err = store.Withholdings(ctx, q, store.WithholdingFilter{
			Commissioners: scope, OpenOnly: req.GetOpenOnly(), Before: before, Limit: size + 1,
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	out := new(corev1.ListWithholdingsResponse)
	rows, out.NextPageToken = page.Cut(rows, size, func(r store.WithholdingRow) string { return r.ID })
	for _, row := range rows {
		out.Withholdings = append(out.Withholdings, withholdingToProto(row))
	}
	return out, nil
}

// RecordDeclaration states that a PCN has earned a payment made once on declaration. Of a caller
// who speaks for the PCN alone, and so may not read its commissioner's register, it is asked at the decision whether the
// commissioner leads the PCN.
func (s *Service) RecordDeclaration(ctx context.Context, req *corev1.RecordDeclarationRequest) (*corev1.Declaration, error) {
	month, err := s.startedMonth(req.GetMonth())
	if err != nil {
		return nil, err
	}
	if principal, _ := auth.From(ctx); !principal.MaySee(req.GetCommissionerCode(), req.GetPcnCode()) {
		return nil, fault.New(fault.NotFound, rules.ReasonPCNNotFound, "%s leads no PCN %s", req.GetCommissionerCode(), req.GetPcnCode())
	}
	if stored, found, err := change.Stored[*corev1.Declaration](ctx, s.db, req); found || err != nil {
		return stored, err
	}
	if principal, _ := auth.From(ctx); principal.HoldsCommissioner(req.GetCommissionerCode()) {
		if err := s.leads(ctx, req.GetCommissionerCode(), req.GetPcnCode(), month); err != nil {
			return nil, err
		}
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*corev1.Declaration, error) {
		rate, err := declarable(ctx, tx, req.GetPaymentCode(), month)
		if err != nil {
			return nil, err
		}
		row := store.DeclarationRow{
			Declaration: rules.Declaration{
				ID: tx.NewID(), PCNCode: req.GetPcnCode(), PaymentCode: req.GetPaymentCode(), Month: month, Share: big.NewRat(1, 1),
			},
			CommissionerCode: req.GetCommissionerCode(), PeriodFrom: rate.From, Evidence: req.GetEvidence(), State: store.Declared,
			DeclaredBy: tx.By.Subject, DeclaredAt: sqldb.Micros(tx.Now()), Version: 1,
		}
		if err := store.InsertDeclaration(ctx, tx.Tx, row); err != nil {
			if sqldb.IsUnique(err) {
				return nil, fault.New(fault.Exists, rules.ReasonDeclarationDecided, "%s of %s is declared for the year already", row.PaymentCode, row.PCNCode)
			}
			return nil, err
		}
		out := declarationToProto(row)
		if _, err := tx.Announce(ctx, "pcn/"+row.CommissionerCode+"/"+row.PCNCode, row.CommissionerCode, &corev1.DeclarationRecorded{Declaration: out}); err != nil {
			return nil, err
		}
		return out, tx.Record(ctx, "core/declarations/"+row.ID, row.CommissionerCode, fmt.Sprintf("declared %s of %s for %s", row.PaymentCode, row.PCNCode, month))
	})
}

// declarable finds the rate of a payment made on declaration, and refuses a month outside the period of any.
func declarable(ctx context.Context, q sqldb.Querier, payment string, month period.Month) (store.RateRow, error) {
	rates, err := store.Rates(ctx, q, whenever)
	if err != nil {
		return store.RateRow{}, err
	}
	known := false
	for _, r := range rates {
		if r.PaymentCode != payment || r.Timing != rules.OnDeclaration {
			continue
		}
		known = true
		if !month.Before(r.From) && !month.After(r.To) {
			return r, nil
		}
	}
	if !known {
		return store.RateRow{}, fault.New(fault.Invalid, rules.ReasonDeclarationPartUnknown, "%q is not a payment made on declaration", payment).At("payment_code", "a payment with timing ON_DECLARATION")
	}
	return store.RateRow{}, fault.New(fault.Refused, rules.ReasonDeclarationOutOfTime, "%s cannot be declared for %s: declarations do not roll over to another year", payment, month).
		With("payment", payment).With("month", month)
}

// DecideDeclaration accepts a declaration in whole or in part, or rejects it.
func (s *Service) DecideDeclaration(ctx context.Context, req *corev1.DecideDeclarationRequest) (*corev1.Declaration, error) {
	share, err := readShare(req)
	if err != nil {
		return nil, err
	}
	if req.GetAccept() {
		if err := s.leadsDeclared(ctx, req); err != nil {
			return nil, err
		}
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*corev1.Declaration, error) {
		row, err := declarationOf(ctx, tx, req)
		if err != nil {
			return nil, err
		}
		if err := checkTag(req.GetEtag(), row.Version); err != nil {
			return nil, err
		}
		switch {
		case row.State != store.Declared:
			return nil, fault.New(fault.Refused, rules.ReasonDeclarationDecided, "declaration %s was decided by %s", row.ID, row.DecidedBy)
		case row.DeclaredBy == tx.By.Subject:
			return nil, fault.New(fault.Denied, rules.ReasonDeciderIsDeclarer, "another person decides what %s declared", row.DeclaredBy)
		}
		row.State, row.Share = store.Rejected, share
		if req.GetAccept() {
			row.State = store.Accepted
		}
		row.DecidedBy, row.DecidedAt, row.DecisionReason = tx.By.Subject, sqldb.Micros(tx.Now()), req.GetReason()
		if changed, err := store.DecideDeclaration(ctx, tx.Tx, row); err != nil || !changed {
			return nil, staleOr(err)
		}
		row.Version++
		out := declarationToProto(row)
		if _, err := tx.Announce(ctx, "pcn/"+row.CommissionerCode+"/"+row.PCNCode, row.CommissionerCode, &corev1.DeclarationDecided{Declaration: out}); err != nil {
			return nil, err
		}
		return out, tx.Record(ctx, "core/declarations/"+row.ID, row.CommissionerCode, fmt.Sprintf("%s %s of %s, share %s", out.GetState(), row.PaymentCode, row.PCNCode, out.GetShare()))
	})
}

// declarationOf loads the declaration to decide, if it is the commissioner's.
func declarationOf(ctx context.Context, q sqldb.Querier, req *corev1.DecideDeclarationRequest) (store.DeclarationRow, error) {
	row, err := store.Declaration(ctx, q, req.GetDeclarationId())
	if errors.Is(err, sql.ErrNoRows) || (err == nil && row.CommissionerCode != req.GetCommissionerCode()) {
		return row, fault.New(fault.NotFound, rules.ReasonDeclarationNotFound, "there is no declaration %q", req.GetDeclarationId())
	}
	return row, err
}

// leadsDeclared refuses to accept a declaration of a PCN that the commissioner did not owe money to in its month.
func (s *Service) leadsDeclared(ctx context.Context, req *corev1.DecideDeclarationRequest) error {
	var row store.DeclarationRow
	err := s.db.Read(ctx, func(q sqldb.Querier) (err error) {
		row, err = declarationOf(ctx, q, req)
		return err
	})
	if err != nil {
		return err
	}
	return s.leads(ctx, row.CommissionerCode, row.PCNCode, row.Month)
}

// readShare reads the share awarded, and refuses a rejection or a part without a reason.
func readShare(req *corev1.DecideDeclarationRequest) (*big.Rat, error) {
	share := big.NewRat(1, 1)
	if req.GetShare() != "" {
		value, err := money.ParseDecimal(req.GetShare())
		if err != nil || value.Sign() < 0 || value.Cmp(share) > 0 {
			return nil, fault.New(fault.Invalid, rules.ReasonDecimalMalformed, "share is a decimal from 0 to 1").At("share", "a decimal from 0 to 1")
		}
		share = value
	}
	if req.GetReason() == "" && (!req.GetAccept() || !share.IsInt()) {
		return nil, fault.New(fault.Invalid, rules.ReasonReasonRequired, "a rejection or a part award needs its reason").At("reason", "why")
	}
	return share, nil
}

// ListDeclarations returns declarations, newest first.
func (s *Service) ListDeclarations(ctx context.Context, req *corev1.ListDeclarationsRequest) (*corev1.ListDeclarationsResponse, error) {
	before, err := page.Key(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	scope, err := visible(ctx, req.GetCommissionerCode())
	if err != nil {
		return nil, err
	}
	size := page.Size(req.GetPageSize(), defaultPage)
	var rows []store.DeclarationRow
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err = store.Declarations(ctx, q, store.DeclarationFilter{
			Commissioners: scope, Before: before, Limit: size + 1,
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	out := new(corev1.ListDeclarationsResponse)
	rows, out.NextPageToken = page.Cut(rows, size, func(r store.DeclarationRow) string { return r.ID })
	for _, row := range rows {
		out.Declarations = append(out.Declarations, declarationToProto(row))
	}
	return out, nil
}
