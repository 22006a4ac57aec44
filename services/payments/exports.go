package payments

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/genproto/googleapis/api/httpbody"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/outbox"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/export"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/store"
)

const (
	typeCSV = "text/csv; charset=utf-8; header=present"
	typeXML = "application/xml"
	typePDF = "application/pdf"
)

// instructs tells whether a file of a format sends the payments of a run.
func instructs(format paymentsv1.Format) bool {
	switch format {
	case paymentsv1.Format_FORMAT_JOURNAL, paymentsv1.Format_FORMAT_PAYABLES_INVOICES, paymentsv1.Format_FORMAT_PCSE_VARIATION,
		paymentsv1.Format_FORMAT_PAIN_001:
		return true
	case paymentsv1.Format_FORMAT_REMITTANCE, paymentsv1.Format_FORMAT_TRANSPARENCY, paymentsv1.Format_FORMAT_UNSPECIFIED:
	}
	return false
}

// ExportRun makes a file of an approved run, and with the first of an instructing format sends its payments.
func (s *Service) ExportRun(ctx context.Context, req *paymentsv1.ExportRunRequest) (*paymentsv1.Export, error) {
	if req.GetFormat() == paymentsv1.Format_FORMAT_TRANSPARENCY {
		return nil, fault.New(fault.Invalid, rules.ReasonFormatInvalid, "the transparency list is of a month, not of a run: read transparency.csv of the month").
			At("format", "a format of a run")
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*paymentsv1.Export, error) {
		run, err := visibleRun(ctx, tx, req.GetRunId())
		if err != nil {
			return nil, err
		}
		if err := tx.Lock(ctx, lockKey(run.CommissionerCode)); err != nil {
			return nil, err
		}
		if run, err = visibleRun(ctx, tx, req.GetRunId()); err != nil {
			return nil, err
		}
		if instructs(req.GetFormat()) {
			return s.instruct(ctx, tx, run, req)
		}
		return s.inform(ctx, tx, run, req)
	})
}

// sheet is what a file is asked to be.
type sheet struct {
	format paymentsv1.Format
	on     period.Date // day it bears, whose codes and suppliers hold
	payOn  period.Date // day a bank is asked to pay on
	kept   []string    // payees left out
}

// sheetOf reads what file of an approved run is wanted. It bears a day from the one on which the approval took effect to today; a bank
// pays today or up to 31 days on.
func sheetOf(ctx context.Context, tx *change.Tx, run store.RunRow, req *paymentsv1.ExportRunRequest) (sheet, error) {
	const ahead = 31 // days
	today := period.DateOf(tx.Now())
	out := sheet{format: req.GetFormat(), on: today, payOn: today}
	if req.GetAccountingDate() != "" {
		first, err := approvedOn(ctx, tx, run)
		if err != nil {
			return out, err
		}
		if out.on, err = parseDateWithin("accounting_date", req.GetAccountingDate(), first, today); err != nil {
			return out, err
		}
	}
	if req.GetPayOn() == "" {
		return out, nil
	}
	if req.GetFormat() != paymentsv1.Format_FORMAT_PAIN_001 {
		return out, fault.New(fault.Invalid, rules.ReasonFormatInvalid, "no bank reads a file of this format").At("pay_on", "is for FORMAT_PAIN_001 only")
	}
	var err error
	out.payOn, err = parseDateWithin("pay_on", req.GetPayOn(), today, today.AddDays(ahead))
	return out, err
}

// parseDateWithin reads a day and refuses one that is not from first to last.
func parseDateWithin(field, text string, first, last period.Date) (period.Date, error) {
	day, err := parseDate(field, text)
	if err == nil && (day.Before(first) || last.Before(day)) {
		return day, fault.New(fault.Invalid, rules.ReasonPeriodInvalid, "%s is %s, which is not from %s to %s", field, day, first, last).
			At(field, fmt.Sprintf("must be from %s to %s", first, last))
	}
	return day, err
}

// inform makes a file that moves no money, of a run whose payments were sent: until then a hold may still change them. One that was
// made before is returned as it is.
func (s *Service) inform(ctx context.Context, tx *change.Tx, run store.RunRow, req *paymentsv1.ExportRunRequest) (*paymentsv1.Export, error) {
	if err := inState(run, exported, settled); err != nil {
		return nil, err
	}
	wanted, err := sheetOf(ctx, tx, run, req)
	if err != nil {
		return nil, err
	}
	stored, err := store.Export(ctx, tx, exportID(run.ID, wanted.format))
	if err == nil {
		if err := sameDay(stored, req.GetAccountingDate()); err != nil {
			return nil, err
		}
		return exportToProto(stored), nil
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return nil, err
	}
	kept, err := store.KeptBack(ctx, tx, run.ID)
	if err != nil {
		return nil, err
	}
	wanted.kept = sortedKeys(kept)
	file, err := s.render(ctx, tx, run, wanted)
	if err != nil {
		return nil, err
	}
	if err := store.InsertExport(ctx, tx.Tx, file.ExportRow); err != nil {
		return nil, err
	}
	return exportToProto(file.ExportRow), tx.Record(ctx, "payments/exports/"+file.ID, run.CommissionerCode, fmt.Sprintf("made %s of run %s", file.FileName, run.ID))
}

// sameDay refuses a file that was made before in place of one that is to bear another day.
func sameDay(stored store.ExportRow, asked string) error {
	if asked == "" || stored.AccountingDate == "" || asked == stored.AccountingDate {
		return nil
	}
	return fault.New(fault.Refused, rules.ReasonExportDateDiffers, "export %s was made before and bears %s, not %s: ask for it without accounting_date, or with that day",
		stored.ID, stored.AccountingDate, asked).With("export_id", stored.ID).With("accounting_date", stored.AccountingDate)
}

// instruct sends the payments of a run: once, and for payees that are not on hold. A run that its approval settled sends nothing,
// but the ledger still takes a journal of its lines.
func (s *Service) instruct(ctx context.Context, tx *change.Tx, run store.RunRow, req *paymentsv1.ExportRunRequest) (*paymentsv1.Export, error) {
	if run.ExportID != "" {
		return nil, fault.New(fault.Refused, rules.ReasonRunExported, "the payments of run %s were sent by export %s", run.ID, run.ExportID).With("export_id", run.ExportID)
	}
	before := run.State
	if before != settled || req.GetFormat() != paymentsv1.Format_FORMAT_JOURNAL {
		if err := inState(run, approved); err != nil {
			return nil, err
		}
	}
	wanted, err := sheetOf(ctx, tx, run, req)
	if err != nil {
		return nil, err
	}
	if wanted.kept, err = s.keepBack(ctx, tx, run); err != nil {
		return nil, err
	}
	file, err := s.render(ctx, tx, run, wanted)
	if err != nil {
		return nil, err
	}
	if err := store.InsertExport(ctx, tx.Tx, file.ExportRow); err != nil {
		return nil, err
	}
	if err := store.TakeBack(ctx, tx.Tx, file.takesBack, file.ID); err != nil {
		return nil, err
	}
	run.ExportID, run.ExportedAt = file.ID, file.ExportedAt
	switch {
	case file.Payments > 0:
		run.State = exported
	case before != settled:
		run.State, run.SettledAt = settled, file.ExportedAt
	}
	if err := s.send(ctx, tx, run, wanted.kept, wanted.on); err != nil {
		return nil, err
	}
	if err := saved(store.UpdateRun(ctx, tx.Tx, &run)); err != nil {
		return nil, err
	}
	out := exportToProto(file.ExportRow)
	summary := fmt.Sprintf("sent %d payments of run %s, %s, by %s", file.Payments, run.ID, file.Amount, file.FileName)
	if file.Reversals > 0 {
		summary += fmt.Sprintf(", which takes %d earlier payments back, %s", file.Reversals, file.Reversed)
	}
	if err := s.announce(ctx, tx, run, summary, func(r *paymentsv1.Run) proto.Message { return &paymentsv1.RunExported{Run: r, Export: out} }); err != nil {
		return nil, err
	}
	if before == settled {
		return out, nil
	}
	return out, s.announceSettled(ctx, tx, run)
}

// keepBack takes the payees on hold out of an approved run: what was posted for them is reversed, and their lines are open again.
func (s *Service) keepBack(ctx context.Context, tx *change.Tx, run store.RunRow) (kept []string, err error) {
	held, err := store.HeldPayees(ctx, tx, run.ID)
	if err != nil {
		return nil, err
	}
	for _, payee := range held {
		if err := s.reverseApproval(ctx, tx, run.ID, run.CommissionerCode, payee); err != nil {
			return nil, err
		}
		if err := store.Advance(ctx, tx.Tx, run.ID, payee, store.Payable, store.Open, ""); err != nil {
			return nil, err
		}
		_, err := tx.Announce(ctx, payeeAggregate(run.CommissionerCode, payee), run.CommissionerCode, &paymentsv1.PaymentKeptBack{
			RunId: run.ID, CommissionerCode: run.CommissionerCode, PayeeCode: payee,
		})
		if err != nil {
			return nil, err
		}
		if err := tx.Record(ctx, "payments/runs/"+run.ID, run.CommissionerCode, "kept back "+payee+", which is on hold"); err != nil {
			return nil, err
		}
	}
	if len(held) == 0 {
		return nil, nil
	}
	if err := store.Detach(ctx, tx.Tx, run.ID, nil); err != nil {
		return nil, err
	}
	return held, s.gatherLatest(ctx, tx, run.CommissionerCode)
}

// reverseApproval undoes what the approval of a run posted for one payee, in the books of the commissioner that owes it now.
func (s *Service) reverseApproval(ctx context.Context, tx *change.Tx, runID, commissioner, payee string) error {
	posted, err := store.Postings(ctx, tx, store.PostingFilter{Sources: []string{payeeSource(runID, payee)}})
	if err != nil {
		return err
	}
	var reversals []rules.Posting
	for _, p := range posted {
		if p.Kind != rules.Approval && p.Kind != rules.Recovery {
			continue
		}
		reversal := rules.Posting{CommissionerCode: commissioner, Kind: rules.Reversal, Source: p.Source, Reverses: p.ID, Entries: slices.Clone(p.Entries)}
		for i := range reversal.Entries {
			reversal.Entries[i].Amount = -reversal.Entries[i].Amount
		}
		reversals = append(reversals, reversal)
	}
	return store.Post(ctx, tx.Tx, tx.By.Subject, period.DateOf(tx.Now()), reversals)
}

// send records the payments of a run as sent, and posts them.
func (s *Service) send(ctx context.Context, tx *change.Tx, run store.RunRow, kept []string, on period.Date) error {
	payees, err := payable(ctx, tx, run.ID, kept)
	if err != nil {
		return err
	}
	lines, err := amountsByPayee(ctx, tx, run.ID)
	if err != nil {
		return err
	}
	var payments []store.PaymentRow
	var postings []rules.Posting
	var events []outbox.Event
	for _, p := range payees {
		row := store.PaymentRow{
			ID: paymentID(run.ID, p.PayeeCode), RunID: run.ID, CommissionerCode: run.CommissionerCode, PayeeCode: p.PayeeCode, PayeeName: p.PayeeName,
			Amount: p.Net, State: paymentsv1.PaymentState_PAYMENT_STATE_SENT, SentAt: sqldb.Micros(tx.Now()), SentOn: on.String(), Version: 1,
		}
		taken, err := takenOff(ctx, tx, run.ID, p)
		if err != nil {
			return err
		}
		posting := rules.Posting{
			CommissionerCode: run.CommissionerCode, Kind: rules.Sending, Source: "payment/" + row.ID,
			Entries: rules.Moved(p.PayeeCode, rules.Payable, rules.Sent, append(lines[p.PayeeCode], negated(taken)...)),
		}
		if sum := standing(posting.Entries, rules.Sent); sum != p.Net {
			return fault.Bug("payment %s: %d pence are posted, %d are sent", row.ID, sum, p.Net)
		}
		payments, postings = append(payments, row), append(postings, posting)
		events = append(events, payeeEvent(run.CommissionerCode, p.PayeeCode, &paymentsv1.PaymentSent{Payment: paymentToProto(row)}))
	}
	if err := store.SendItems(ctx, tx.Tx, run.ID, paymentID(run.ID, "")); err != nil {
		return err
	}
	if _, err := outbox.AddAll(ctx, tx.Tx, events); err != nil {
		return err
	}
	if err := store.InsertPayments(ctx, tx.Tx, payments); err != nil {
		return err
	}
	return store.Post(ctx, tx.Tx, tx.By.Subject, on, postings)
}

// standing returns what entries bring to a credit stage.
func standing(entries []rules.Entry, stage rules.Stage) (sum money.Pence) {
	for _, e := range entries {
		if e.Stage == stage {
			sum -= e.Amount
		}
	}
	return sum
}

func negated(amounts []rules.Amount) []rules.Amount {
	out := slices.Clone(amounts)
	for i := range out {
		out[i].Pence = -out[i].Pence
	}
	return out
}

// payable returns the payees of an approved run to whom something is sent.
func payable(ctx context.Context, q sqldb.Querier, runID string, kept []string) ([]rules.PayeeTotal, error) {
	payees, err := store.FrozenPayees(ctx, q, runID)
	return slices.DeleteFunc(payees, func(p rules.PayeeTotal) bool { return p.Net == 0 || slices.Contains(kept, p.PayeeCode) }), err
}

// booked returns the payees of an approved run who have lines in it.
func booked(ctx context.Context, q sqldb.Querier, runID string, kept []string) ([]rules.PayeeTotal, error) {
	payees, err := store.FrozenPayees(ctx, q, runID)
	return slices.DeleteFunc(payees, func(p rules.PayeeTotal) bool { return p.Lines == 0 || slices.Contains(kept, p.PayeeCode) }), err
}

// takenOff returns what the approval of a run took off a payee for overpayments, fund by fund, above zero.
func takenOff(ctx context.Context, q sqldb.Querier, runID string, p rules.PayeeTotal) ([]rules.Amount, error) {
	if p.BroughtForward == 0 {
		return nil, nil
	}
	return recovered(ctx, q, runID, p)
}

// recovered returns what the approval of a run took off a payee for overpayments, above zero, or left to later runs, below, fund by
// fund.
func recovered(ctx context.Context, q sqldb.Querier, runID string, p rules.PayeeTotal) ([]rules.Amount, error) {
	if p.BroughtForward == 0 && p.CarriedForward == 0 {
		return nil, nil
	}
	posted, err := store.Postings(ctx, q, store.PostingFilter{Sources: []string{payeeSource(runID, p.PayeeCode)}})
	if err != nil {
		return nil, err
	}
	var out []rules.Amount
	for _, p := range posted {
		if p.Kind != rules.Recovery {
			continue
		}
		for _, e := range p.Entries {
			if e.Stage == rules.Recovered {
				out = append(out, rules.Amount{Fund: e.Fund, Pence: -e.Amount})
			}
		}
	}
	return out, nil
}

// exportID names the file of a format of a run.
func exportID(runID string, format paymentsv1.Format) string { return runID + "-" + formatName(format) }

// rendered is a file before it is stored.
type rendered struct {
	store.ExportRow
	takesBack []string // payments
}

// render writes the file of a run. One of nothing is empty, whatever its format.
func (s *Service) render(ctx context.Context, tx *change.Tx, run store.RunRow, wanted sheet) (rendered, error) {
	row := rendered{ExportRow: store.ExportRow{
		ID: exportID(run.ID, wanted.format), RunID: run.ID, CommissionerCode: run.CommissionerCode, Format: wanted.format,
		Instructs: instructs(wanted.format), ExportedBy: tx.By.Subject, ExportedAt: sqldb.Micros(tx.Now()), SHA256: hashOf(nil), Content: []byte{},
		AccountingDate: wanted.on.String(),
	}}
	row.FileName = row.ID + ".csv"
	if wanted.format == paymentsv1.Format_FORMAT_PAIN_001 {
		row.FileName = row.ID + ".xml"
	}
	layout, err := layoutFor(ctx, tx, run.CommissionerCode, wanted.format, run.Month, asOf{on: wanted.on})
	if err != nil {
		return row, err
	}
	batch := export.Batch{
		ExportID: row.ID, Commissioner: export.Party{Code: run.CommissionerCode, Name: run.CommissionerName}, Month: run.Month, Number: run.Number,
		AccountingDate: wanted.on, CreatedAt: tx.Now(), PayOn: wanted.payOn,
	}
	if batch.Payments, err = s.payments(ctx, tx, run, layout, wanted.kept); err != nil {
		return row, err
	}
	for i := range batch.Payments {
		if batch.Payments[i].Net > 0 {
			row.Payments++
		}
		if row.Amount, err = row.Amount.Add(batch.Payments[i].Net); err != nil {
			return row, err
		}
	}
	reversals, err := s.reversals(ctx, tx, run, layout)
	if err != nil || len(batch.Payments)+len(reversals) == 0 {
		return row, err
	}
	for i := range reversals {
		row.takesBack = append(row.takesBack, reversals[i].Reference)
		row.Reversals++
		if row.Reversed, err = row.Reversed.Sub(reversals[i].Net); err != nil {
			return row, err
		}
	}
	batch.Payments = append(batch.Payments, reversals...)
	var content bytes.Buffer
	if err := export.Render(&content, &layout.profile, &batch, &layout.coding); err != nil {
		return row, err
	}
	row.Content = content.Bytes()
	final := row.Content
	if wanted.format == paymentsv1.Format_FORMAT_PAIN_001 {
		if err := layout.refuseAccountsOf(tx.By.Subject, run, batch.Payments); err != nil {
			return row, err
		}
		if final, err = s.resolve(ctx, row.Content); err != nil {
			return row, err
		}
	}
	row.SHA256, row.Size = hashOf(final), int64(len(final))
	return row, nil
}

func hashOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// resolve puts bank details in the place of the tokens of a bank file.
func (s *Service) resolve(ctx context.Context, stored []byte) ([]byte, error) {
	template, err := export.ParsePain001Template(stored)
	if err != nil {
		return nil, err
	}
	if s.accounts == nil {
		return nil, fault.New(fault.Refused, rules.ReasonAccountNotResolved, "no account resolver is set up: the operator names one")
	}
	tokens := []string{template.Token}
	for _, transfer := range template.Transfers {
		tokens = append(tokens, transfer.Token)
	}
	accounts, err := s.accounts.Resolve(ctx, tokens)
	if _, said := fault.As(err); said {
		return nil, err
	}
	if err != nil {
		return nil, fault.New(fault.Busy, rules.ReasonAccountNotResolved, "the account resolver gives no answer now").Because(err)
	}
	return export.Resolve(&template, accounts)
}

// payments returns the payments of a run as a file shows them; for a journal also payees to whom nothing is sent, since what they
// are due and what is carried or taken off are expense all the same.
func (s *Service) payments(ctx context.Context, q sqldb.Querier, run store.RunRow, layout *layout, kept []string) ([]export.Payment, error) {
	payees, err := payable(ctx, q, run.ID, kept)
	if layout.profile.Format == export.Journal {
		payees, err = booked(ctx, q, run.ID, kept)
	}
	if err != nil {
		return nil, err
	}
	byPayee := make(map[string][]store.LineRow)
	err = store.EachLine(ctx, q, store.LineFilter{FrozenRunID: run.ID}, func(l store.LineRow) error {
		payee := l.Line.GetPayee().GetCode()
		byPayee[payee] = append(byPayee[payee], l)
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := make([]export.Payment, 0, len(payees))
	for _, p := range payees {
		payment := export.Payment{
			Reference: paymentID(run.ID, p.PayeeCode), Payee: export.Party{Code: p.PayeeCode, Name: p.PayeeName}, Supplier: layout.supplier(p.PayeeCode), Net: p.Net,
		}
		for _, row := range byPayee[p.PayeeCode] {
			line, err := layout.exportLine(row)
			if err != nil {
				return nil, err
			}
			payment.Lines = append(payment.Lines, line)
		}
		parts, err := recovered(ctx, q, run.ID, p)
		if err != nil {
			return nil, err
		}
		for _, a := range parts {
			payment.Lines = append(payment.Lines, layout.recoveryLine(run.ID, run.Month, p.PayeeCode, a))
		}
		out = append(out, payment)
	}
	return out, nil
}

// reversals returns what takes back the payments that an earlier file of the same kind booked and that were issued again since: their
// lines are due in a run once more, and a ledger that keeps both has them twice. A bank or PCSE is told to pay, and has nothing to
// take back; nor has a payables ledger that did not get the first invoice.
func (s *Service) reversals(ctx context.Context, q sqldb.Querier, run store.RunRow, layout *layout) (out []export.Payment, err error) {
	format := layout.format
	if format != paymentsv1.Format_FORMAT_JOURNAL && format != paymentsv1.Format_FORMAT_PAYABLES_INVOICES {
		return nil, nil
	}
	rows, err := store.ToTakeBack(ctx, q, run.CommissionerCode, format, layout.on)
	if err != nil {
		return nil, err
	}
	booked := make(map[string]map[string]export.Payment) // by run
	for _, row := range rows {
		if booked[row.RunID] == nil {
			if booked[row.RunID], err = s.bookedBy(ctx, q, run, row, layout); err != nil {
				return nil, err
			}
		}
		first, found := booked[row.RunID][row.ID]
		if !found {
			continue
		}
		back, err := first.Reversed()
		if err != nil {
			return nil, err
		}
		out = append(out, back)
	}
	return out, nil
}

// bookedBy returns what the file of a payment's run booked, payment by payment, with its codes as they were known then. The journal of
// a successor books by its own, so that it comes to nothing there; its payables ledger has none of the invoices.
func (s *Service) bookedBy(ctx context.Context, q sqldb.Querier, run store.RunRow, row store.PaymentRow, layout *layout) (map[string]export.Payment, error) {
	was, err := store.Run(ctx, q, row.RunID)
	if err != nil {
		return nil, err
	}
	switch {
	case was.CommissionerCode == run.CommissionerCode:
		on, err := period.ParseDate(row.SentOn)
		if err != nil {
			return nil, fault.Bug("payment %s sent on %q", row.ID, row.SentOn)
		}
		if layout, err = layoutFor(ctx, q, was.CommissionerCode, layout.format, was.Month, asOf{on: on, known: was.ExportedAt}); err != nil {
			return nil, err
		}
	case layout.format != paymentsv1.Format_FORMAT_JOURNAL:
		return map[string]export.Payment{}, nil
	}
	payments, err := s.payments(ctx, q, was, layout, nil)
	out := make(map[string]export.Payment, len(payments))
	for _, p := range payments {
		p.Control = layout.coding.Control
		out[p.Reference] = p
	}
	return out, err
}

// GetExport returns one export without its content.
func (s *Service) GetExport(ctx context.Context, req *paymentsv1.GetExportRequest) (out *paymentsv1.Export, err error) {
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		row, err := readableExport(ctx, q, req.GetExportId())
		out = exportToProto(row)
		return err
	})
	return out, err
}

// DownloadExport returns the file of an export.
func (s *Service) DownloadExport(ctx context.Context, req *paymentsv1.DownloadExportRequest) (*httpbody.HttpBody, error) {
	var row store.ExportRow
	err := s.db.Read(ctx, func(q sqldb.Querier) (err error) {
		row, err = readableExport(ctx, q, req.GetExportId())
		return err
	})
	if err != nil {
		return nil, err
	}
	content, kind := row.Content, typeCSV
	if row.Format == paymentsv1.Format_FORMAT_PAIN_001 {
		kind = typeXML
	}
	if row.Format == paymentsv1.Format_FORMAT_PAIN_001 && len(content) > 0 {
		if content, err = s.resolve(ctx, row.Content); err != nil {
			return nil, err
		}
	}
	if hashOf(content) != row.SHA256 {
		return nil, fault.New(fault.Refused, rules.ReasonExportChanged,
			"the accounts behind the tokens of export %s have changed since it was made: if it was not used, have its payments rejected and issued again", row.ID)
	}
	return &httpbody.HttpBody{ContentType: kind, Data: content}, nil
}

// ListExports returns a page of exports.
func (s *Service) ListExports(ctx context.Context, req *paymentsv1.ListExportsRequest) (*paymentsv1.ListExportsResponse, error) {
	by, err := pageOf(ctx, req.GetCommissionerCode(), req)
	if err != nil {
		return nil, err
	}
	var rows []store.ExportRow
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err = exportsOf(ctx, q, by, req)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := new(paymentsv1.ListExportsResponse)
	rows, out.NextPageToken = page.Cut(rows, by.Limit-1, func(e store.ExportRow) string { return fmt.Sprintf("%d %s", e.ExportedAt, e.ID) })
	for _, row := range rows {
		out.Exports = append(out.Exports, exportToProto(row))
	}
	return out, nil
}

// DownloadTransparencyList returns the payments over £25,000 that were paid in a month, and those that came back in it.
func (s *Service) DownloadTransparencyList(ctx context.Context, req *paymentsv1.DownloadTransparencyListRequest) (*httpbody.HttpBody, error) {
	month, err := parseMonth("month", req.GetMonth())
	if err != nil {
		return nil, err
	}
	var content bytes.Buffer
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		code := req.GetCommissionerCode()
		layout, err := layoutFor(ctx, q, code, paymentsv1.Format_FORMAT_TRANSPARENCY, month, asOf{on: month.Last()})
		if err != nil {
			return err
		}
		name, err := knownName(ctx, q, code)
		if err != nil {
			return err
		}
		list := export.SpendList{Commissioner: export.Party{Code: code, Name: name}, Month: month}
		if list.Transactions, err = s.spent(ctx, q, layout, code, month); err != nil {
			return err
		}
		return export.RenderSpend(&content, &layout.profile, &list, &layout.coding)
	})
	if err != nil {
		return nil, err
	}
	return &httpbody.HttpBody{ContentType: typeCSV, Data: content.Bytes()}, nil
}

// spent returns the payments that were confirmed as paid in a month, and what takes off those that came back in it.
func (s *Service) spent(ctx context.Context, q sqldb.Querier, layout *layout, code string, month period.Month) ([]export.Transaction, error) {
	cleared, err := store.Clearances(ctx, q, code, month)
	if err != nil {
		return nil, err
	}
	byRun := make(map[string][]store.Clearance)
	for _, c := range cleared {
		byRun[c.RunID] = append(byRun[c.RunID], c)
	}
	var out []export.Transaction
	for _, runID := range sortedKeys(byRun) {
		run, err := store.Run(ctx, q, runID)
		if err != nil {
			return nil, err
		}
		payments, err := s.payments(ctx, q, run, layout, nil)
		if err != nil {
			return nil, err
		}
		for _, c := range byRun[runID] {
			at := slices.IndexFunc(payments, func(p export.Payment) bool { return p.Reference == c.PaymentID })
			if at < 0 {
				return nil, fault.Bug("payment %s is not in run %s", c.PaymentID, runID)
			}
			made := export.Transaction{Date: c.Day, Payment: payments[at]}
			if c.Returned {
				if made.Payment, err = payments[at].Reversed(); err != nil {
					return nil, err
				}
			}
			out = append(out, made)
		}
	}
	return out, nil
}
