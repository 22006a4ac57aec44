package payments

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/store"
)

// defaultPage is how many rows a list returns unless asked otherwise.
const defaultPage = 100

// paged is a request for a page.
type paged interface {
	GetPageSize() int32
	GetPageToken() string
}

// pageOf reads what part of a list is wanted, limited to what the caller may see. Its limit is one more than the page, so that the
// row beyond tells of a next one.
func pageOf(ctx context.Context, asked string, req paged) (store.Page, error) {
	before, err := page.Key(req.GetPageToken())
	if err != nil {
		return store.Page{}, err
	}
	scope, err := visible(ctx, asked)
	return store.Page{Commissioners: scope, Before: before, Limit: page.Size(req.GetPageSize(), defaultPage) + 1}, err
}

// lineKey reads a page token that holds the number of the last line seen.
func lineKey(token string) (int, error) {
	key, err := page.Key(token)
	if err != nil || key == "" {
		return 0, err
	}
	n, err := strconv.Atoi(key)
	if err != nil {
		return 0, fault.New(fault.Invalid, page.ReasonToken, "the page token is not one that this list gave out").At("page_token", "use next_page_token of the page before, or leave it empty")
	}
	return n, nil
}

// visible returns the commissioners a list is limited to: the one asked for, or all that the caller holds. Nil means all. One
// that the caller does not hold is not found.
func visible(ctx context.Context, asked string) ([]string, error) {
	principal, _ := auth.From(ctx)
	switch {
	case asked == "":
		return principal.CommissionerScope(), nil
	case principal.HoldsCommissioner(asked):
		return []string{asked}, nil
	default:
		return nil, fault.New(fault.NotFound, auth.ReasonNotFound, "there is no commissioner %q that you may see", asked).With("commissioner_code", asked)
	}
}

// holds tells whether the caller holds a commissioner.
func holds(ctx context.Context, commissioner string) bool {
	principal, known := auth.From(ctx)
	return known && principal.HoldsCommissioner(commissioner)
}

func parseMonth(field, text string) (period.Month, error) {
	month, err := period.ParseMonth(text)
	if err != nil {
		return month, fault.New(fault.Invalid, rules.ReasonMonthMalformed, "%s: %v", field, err).At(field, err.Error())
	}
	return month, nil
}

// checkMonth refuses a month that is given and is none.
func checkMonth(field, text string) error {
	if text == "" {
		return nil
	}
	_, err := parseMonth(field, text)
	return err
}

func parseDate(field, text string) (period.Date, error) {
	date, err := period.ParseDate(text)
	if err != nil {
		return date, fault.New(fault.Invalid, rules.ReasonDateMalformed, "%s: %v", field, err).At(field, err.Error())
	}
	return date, nil
}

func timestamp(micros int64) *timestamppb.Timestamp {
	if micros == 0 {
		return nil
	}
	return timestamppb.New(sqldb.FromMicros(micros))
}

func versionTag(version int64) string { return strconv.FormatInt(version, 10) }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// fundName writes a fund as settings and files spell it, such as core.
func fundName(code int) string {
	return strings.ToLower(strings.TrimPrefix(typev1.Fund(code).String(), "FUND_")) //nolint:gosec // enum
}

// fundCode reads what fundName writes.
func fundCode(name string) typev1.Fund {
	return typev1.Fund(typev1.Fund_value["FUND_"+strings.ToUpper(name)])
}

// stateName writes the state of a run in words, such as assembled.
func stateName(state paymentsv1.RunState) string {
	return strings.ToLower(strings.TrimPrefix(state.String(), "RUN_STATE_"))
}

func runToProto(r store.RunRow) *paymentsv1.Run {
	return &paymentsv1.Run{
		RunId: r.ID, CommissionerCode: r.CommissionerCode, CommissionerName: r.CommissionerName, Month: r.Month.String(),
		Number: int32(r.Number), State: r.State, Totals: r.Totals, Funds: r.Funds, AssembledAt: timestamp(r.AssembledAt), //nolint:gosec // a count
		SubmittedBy: r.SubmittedBy, SubmittedAt: timestamp(r.SubmittedAt), SubmitNote: r.SubmitNote, LinesSha256: r.LinesSHA256,
		ApprovalsNeeded: int32(r.ApprovalsNeeded), EndedBy: r.EndedBy, EndedAt: timestamp(r.EndedAt), EndReason: r.EndReason, //nolint:gosec // 1 or 2
		ReplacedByRunId: r.ReplacedBy, ExportId: r.ExportID, ExportedAt: timestamp(r.ExportedAt), SettledAt: timestamp(r.SettledAt),
		Etag: versionTag(r.Version),
	}
}

func totalsToProto(t rules.Totals) *paymentsv1.RunTotals {
	return &paymentsv1.RunTotals{
		Lines: int32(t.Lines), Payees: int32(t.Payees), Payments: int32(t.Payments), HeldLines: int32(t.HeldLines), //nolint:gosec // counts of one run
		LinesPence: int64(t.LinesTotal), BroughtForwardPence: int64(t.BroughtForward), CarriedForwardPence: int64(t.CarriedForward),
		NetPence: int64(t.Net), HeldPence: int64(t.Held),
	}
}

func payeeToProto(p rules.PayeeTotal) *paymentsv1.PayeeTotal {
	return &paymentsv1.PayeeTotal{
		Payee: &typev1.Payee{Code: p.PayeeCode, Name: p.PayeeName}, Lines: int32(p.Lines), HeldLines: int32(p.HeldLines), //nolint:gosec // counts of one run
		LinesPence: int64(p.LinesTotal), BroughtForwardPence: int64(p.BroughtForward), CarriedForwardPence: int64(p.CarriedForward),
		NetPence: int64(p.Net), HeldPence: int64(p.HeldTotal),
	}
}

// paymentID names the one payment that a run sends to a payee.
func paymentID(runID, payee string) string { return runID + "-" + payee }

func holdToProto(h store.HoldRow) *paymentsv1.Hold {
	return &paymentsv1.Hold{
		HoldId: h.ID, CommissionerCode: h.CommissionerCode, PayeeCode: h.PayeeCode, LineId: h.LineID, ReasonCode: h.ReasonCode, Reason: h.Reason,
		PlacedBy: h.PlacedBy, PlacedAt: timestamp(h.PlacedAt), ReleasedBy: h.ReleasedBy, ReleasedAt: timestamp(h.ReleasedAt),
		ReleaseReason: h.ReleaseReason, Etag: versionTag(h.Version),
	}
}

func paymentToProto(p store.PaymentRow) *paymentsv1.Payment {
	return &paymentsv1.Payment{
		PaymentId: p.ID, RunId: p.RunID, CommissionerCode: p.CommissionerCode, Payee: &typev1.Payee{Code: p.PayeeCode, Name: p.PayeeName},
		AmountPence: int64(p.Amount), State: p.State, SentAt: timestamp(p.SentAt), SentOn: p.SentOn, ConfirmedOn: p.ConfirmedOn, PayerReference: p.PayerReference,
		RejectReason: p.RejectReason, TakenBackBy: p.TakenBackBy, Etag: versionTag(p.Version),
	}
}

func exportToProto(e store.ExportRow) *paymentsv1.Export {
	return &paymentsv1.Export{
		ExportId: e.ID, RunId: e.RunID, CommissionerCode: e.CommissionerCode, Format: e.Format, Instructs: e.Instructs,
		Payments: int32(e.Payments), AmountPence: int64(e.Amount), //nolint:gosec // a count
		Reversals: int32(e.Reversals), ReversedPence: int64(e.Reversed), //nolint:gosec // a count
		Sha256: e.SHA256, SizeBytes: e.Size, FileName: e.FileName,
		ExportedBy: e.ExportedBy, ExportedAt: timestamp(e.ExportedAt), AccountingDate: e.AccountingDate,
	}
}

func importToProto(i store.ImportRow) *paymentsv1.ImportedFile {
	return &paymentsv1.ImportedFile{
		ImportId: i.ID, CommissionerCode: i.CommissionerCode, Kind: i.Kind, FileName: i.FileName, Sha256: i.SHA256,
		Rows: int32(i.Rows), RowsApplied: int32(i.Applied), RowsKnown: int32(i.Known), RowsUnmatched: int32(i.Unmatched), //nolint:gosec // counts of one file
		AmountPence: int64(i.Amount), ImportedBy: i.ImportedBy, ImportedAt: timestamp(i.ImportedAt),
	}
}

func fileRowToProto(r store.FileRow) *paymentsv1.ImportedRow {
	return &paymentsv1.ImportedRow{
		Line: int32(r.Line), Reference: r.Reference, PayeeCode: r.PayeeCode, Period: r.Period, PaymentCode: r.PaymentCode, //nolint:gosec // a count
		AmountPence: int64(r.Amount), Outcome: r.Outcome, PaymentId: r.PaymentID, Note: r.Note,
	}
}

func runLineToProto(l store.LineRow, holds []*paymentsv1.Hold, kept bool) *paymentsv1.RunLine {
	return &paymentsv1.RunLine{
		Line: l.Line, ScheduleId: l.ScheduleID, ScheduleMonth: l.Month, Fund: typev1.Fund(l.Fund), //nolint:gosec // enum
		State: paymentsv1.ItemState(l.State), Holds: holds, RunId: l.RunID, KeptBack: kept, //nolint:gosec // enum
	}
}

func postingToProto(p store.PostingRow) *paymentsv1.Posting {
	out := &paymentsv1.Posting{
		PostingId: p.ID, CommissionerCode: p.CommissionerCode, Kind: paymentsv1.PostingKind(p.Kind), EffectiveDate: p.EffectiveDate, //nolint:gosec // enum
		RecordedAt: timestamp(p.RecordedAt), Source: p.Source, ReversesPostingId: p.Reverses, RecordedBy: p.RecordedBy,
	}
	for _, e := range p.Entries {
		out.Entries = append(out.Entries, &paymentsv1.Entry{
			Account: account(p.CommissionerCode, e.Fund, e.PayeeCode, e.Stage), AmountPence: int64(e.Amount), LineId: e.LineID,
		})
	}
	return out
}

func account(commissioner string, fund int, payee string, stage rules.Stage) *paymentsv1.Account {
	return &paymentsv1.Account{
		CommissionerCode: commissioner, Fund: typev1.Fund(fund), PayeeCode: payee, Stage: paymentsv1.Stage(stage), //nolint:gosec // enums
	}
}

func parseYear(field, text string) (period.FinancialYear, error) {
	year, err := period.ParseFinancialYear(text)
	if err != nil {
		return year, fault.New(fault.Invalid, rules.ReasonPeriodMalformed, "%s: %v", field, err).At(field, err.Error())
	}
	return year, nil
}
