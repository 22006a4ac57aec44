package payments

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/idempotency"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/store"
)

const (
	// maxFileBytes bounds a file, and maxFileRows its rows: some 200,000 lines are a year of all England.
	maxFileBytes = 16 << 20
	maxFileRows  = 200_000
	// maxViolations bounds the bad values that a refusal shows.
	maxViolations = 20
	// importLimit bounds the transaction that takes a file in.
	importLimit = 2 * time.Minute
)

// What became of a row.
const (
	outcomeSettled       = "SETTLED"
	outcomeRejected      = "REJECTED"
	outcomeKnown         = "KNOWN"
	outcomeStored        = "STORED"
	outcomeAmountDiffers = "AMOUNT_DIFFERS"
	outcomeNotFound      = "NOT_FOUND"
	outcomeStateDiffers  = "STATE_DIFFERS"
)

// Import reads a file of confirmations or of amounts actually paid.
func (s *Service) Import(stream grpc.ClientStreamingServer[paymentsv1.ImportRequest, paymentsv1.ImportResponse]) error {
	ctx := stream.Context()
	header, err := receiveHeader(stream)
	if err != nil {
		return err
	}
	if _, err := visible(ctx, header.GetCommissionerCode()); err != nil {
		return err
	}
	content, err := receiveFile(stream)
	if err != nil {
		return err
	}
	rows, err := readFile(header.GetKind(), content)
	if err != nil {
		return err
	}
	// With the hash of what was sent the header stands for the whole stream, so that another file under the same request_id is told
	// from a repetition.
	request := proto.CloneOf(header)
	request.Sha256 = hashOf(content)
	if header.GetSha256() != "" && header.GetSha256() != request.GetSha256() {
		return fault.New(fault.Invalid, rules.ReasonFileMalformed, "the file did not come as it was sent: its hash is %s", request.GetSha256()).At("sha256", "is not that of the bytes")
	}
	answer, err := change.Do(ctx, s.db, request, func(ctx context.Context, tx *change.Tx) (*paymentsv1.ImportResponse, error) {
		return s.takeIn(ctx, tx, header, request.GetSha256(), rows)
	})
	if err != nil {
		return err
	}
	return stream.SendAndClose(answer)
}

// receiveHeader reads the first message of an upload.
func receiveHeader(stream grpc.ClientStreamingServer[paymentsv1.ImportRequest, paymentsv1.ImportResponse]) (*paymentsv1.ImportHeader, error) {
	first, err := stream.Recv()
	if errors.Is(err, io.EOF) || (err == nil && first.GetHeader() == nil) {
		return nil, fault.New(fault.Invalid, rules.ReasonFileMalformed, "an upload begins with its header").At("header", "the first message carries it")
	}
	if err != nil {
		return nil, err
	}
	if first.GetHeader().GetRequestId() == "" {
		return nil, fault.New(fault.Invalid, idempotency.ReasonRequired, "the request needs a request_id").At("request_id", "must not be empty")
	}
	return first.GetHeader(), nil
}

// receiveFile reads the bytes of an upload; they are bounded.
func receiveFile(stream grpc.ClientStreamingServer[paymentsv1.ImportRequest, paymentsv1.ImportResponse]) ([]byte, error) {
	var content bytes.Buffer
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return content.Bytes(), nil
		}
		if err != nil {
			return nil, err
		}
		if content.Len()+len(part.GetChunk()) > maxFileBytes {
			return nil, fault.New(fault.Invalid, rules.ReasonFileMalformed, "the file is larger than %d bytes: divide it", maxFileBytes)
		}
		content.Write(part.GetChunk())
	}
}

// column is one that a file may have, under any of some names.
type column struct {
	name     string
	aliases  []string
	required bool
}

// columnsOf lists the columns of a kind of file.
func columnsOf(kind paymentsv1.FileKind) []column {
	if kind == paymentsv1.FileKind_FILE_KIND_CONFIRMATIONS {
		return []column{
			{name: "reference", aliases: []string{"invoice_number", "payment_id", "end_to_end_id"}},
			{name: "payee_code", aliases: []string{"payee"}},
			{name: "status", required: true},
			{name: "payment_date", aliases: []string{"date"}, required: true},
			{name: "payment_reference", aliases: []string{"payer_reference"}},
			{name: "amount", aliases: []string{"amount_gbp"}, required: true},
			{name: "reject_reason", aliases: []string{"reason"}},
		}
	}
	return []column{
		{name: "reference"},
		{name: "payee_code", aliases: []string{"payee"}, required: true},
		{name: "month", aliases: []string{"period"}},
		{name: "financial_year", aliases: []string{"year"}},
		{name: "payment_code", aliases: []string{"payment"}, required: true},
		{name: "amount", aliases: []string{"amount_gbp"}, required: true},
	}
}

// fileRow is one row of a file as read.
type fileRow struct {
	store.FileRow
	rejected     bool
	confirmedOn  string
	payerRef     string
	rejectReason string
}

// readFile checks a file whole: every bad value is named with its line, column and reason, and then nothing of it is taken in.
func readFile(kind paymentsv1.FileKind, content []byte) ([]fileRow, error) {
	if !utf8.Valid(content) || bytes.ContainsRune(content, 0) {
		return nil, fault.New(fault.Invalid, rules.ReasonFileMalformed, "the file is not text in UTF-8")
	}
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(content, []byte("\uFEFF"))))
	r.FieldsPerRecord = -1
	header, err := r.Read()
	if err != nil {
		return nil, fault.New(fault.Invalid, rules.ReasonFileMalformed, "the file has no header row")
	}
	at, err := arrange(kind, header)
	if err != nil {
		return nil, err
	}
	check := rowCheck{kind: kind, at: at, width: len(header)}
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			line := 0
			if parse, ok := errors.AsType[*csv.ParseError](err); ok {
				line = parse.StartLine
			}
			check.bad(line, "", "", "is no row of a CSV file")
			break
		}
		line, _ := r.FieldPos(0)
		check.row(line, record)
		if len(check.rows) > maxFileRows {
			return nil, fault.New(fault.Invalid, rules.ReasonFileMalformed, "the file has more than %d rows: divide it", maxFileRows)
		}
	}
	return check.done()
}

// arrange finds the columns of a file by name.
func arrange(kind paymentsv1.FileKind, header []string) (map[string]int, error) {
	at := make(map[string]int)
	refused := fault.New(fault.Invalid, rules.ReasonFileMalformed, "the header row does not fit the kind of file")
	for i, cell := range header {
		name := strings.ReplaceAll(strings.ToLower(strings.TrimSpace(cell)), " ", "_")
		for _, c := range columnsOf(kind) {
			if name != c.name && !slices.Contains(c.aliases, name) {
				continue
			}
			if _, twice := at[c.name]; twice {
				refused = refused.At(c.name, "stands twice")
			}
			at[c.name] = i
		}
	}
	for _, c := range columnsOf(kind) {
		if _, found := at[c.name]; c.required && !found {
			refused = refused.At(c.name, "is missing")
		}
	}
	_, reference := at["reference"]
	_, payee := at["payee_code"]
	if kind == paymentsv1.FileKind_FILE_KIND_CONFIRMATIONS && !reference && !payee {
		refused = refused.At("reference", "is missing, and so is payee_code")
	}
	_, month := at["month"]
	_, year := at["financial_year"]
	if kind == paymentsv1.FileKind_FILE_KIND_PAID_AMOUNTS && !month && !year {
		refused = refused.At("month", "is missing, and so is financial_year")
	}
	if len(refused.Violations) > 0 {
		return nil, refused
	}
	return at, nil
}

// rowCheck reads rows and gathers what is wrong with them.
type rowCheck struct {
	kind  paymentsv1.FileKind
	at    map[string]int
	width int
	rows  []fileRow
	wrong int
	shown []fault.Violation
}

// bad notes a bad value.
func (c *rowCheck) bad(line int, column, value, why string) {
	c.wrong++
	if len(c.shown) < maxViolations {
		field := fmt.Sprintf("line %d", line)
		if column != "" {
			field += ", " + column
		}
		c.shown = append(c.shown, fault.Violation{Field: field, Reason: rules.ReasonFileHasBadRows, Description: fmt.Sprintf("%q %s", money.Clip(value), why)})
	}
}

func (c *rowCheck) done() ([]fileRow, error) {
	if c.wrong > 0 {
		refused := fault.New(fault.Invalid, rules.ReasonFileHasBadRows, "%d values of the file are wrong; nothing of it was taken in", c.wrong).With("bad_values", c.wrong)
		refused.Violations = c.shown
		return nil, refused
	}
	return c.rows, nil
}

// row reads one row.
func (c *rowCheck) row(line int, record []string) {
	if len(record) != c.width {
		c.bad(line, "", strings.Join(record, ","), fmt.Sprintf("has %d values, the header %d", len(record), c.width))
		return
	}
	cell := func(name string) string {
		if i, found := c.at[name]; found {
			return strings.TrimSpace(record[i])
		}
		return ""
	}
	out := fileRow{FileRow: store.FileRow{Line: line, Reference: cell("reference"), PayeeCode: cell("payee_code"), PaymentCode: cell("payment_code")}}
	var err error
	if out.Amount, err = money.ParsePence(strings.TrimPrefix(cell("amount"), "£")); err != nil {
		c.bad(line, "amount", cell("amount"), "is no amount in pounds and pence, such as 6709.25")
	}
	for _, name := range []string{"reference", "payee_code", "payment_code", "payment_reference", "reject_reason"} {
		if value := cell(name); len(value) > 200 || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' }) {
			c.bad(line, name, value, "is longer than 200 bytes or holds control characters")
		}
	}
	if c.kind == paymentsv1.FileKind_FILE_KIND_CONFIRMATIONS {
		c.confirmation(line, cell, &out)
	} else {
		c.paid(line, cell, &out)
	}
	c.rows = append(c.rows, out)
}

func (c *rowCheck) confirmation(line int, cell func(string) string, out *fileRow) {
	if out.Reference == "" && out.PayeeCode == "" {
		c.bad(line, "reference", "", "is empty, and so is payee_code")
	}
	switch status := strings.ToUpper(cell("status")); status {
	case "PAID", "SETTLED":
	case "REJECTED", "RETURNED", "FAILED":
		out.rejected, out.rejectReason = true, cell("reject_reason")
		if out.rejectReason == "" {
			c.bad(line, "reject_reason", "", "is empty in a row that rejects")
		}
	default:
		c.bad(line, "status", cell("status"), "is none of PAID, REJECTED, RETURNED")
	}
	day, err := period.ParseDate(cell("payment_date"))
	if err != nil {
		c.bad(line, "payment_date", cell("payment_date"), "is no day written YYYY-MM-DD")
	}
	if out.Amount <= 0 {
		c.bad(line, "amount", cell("amount"), "is not above zero")
	}
	out.confirmedOn, out.payerRef = day.String(), cell("payment_reference")
}

func (c *rowCheck) paid(line int, cell func(string) string, out *fileRow) {
	if out.PayeeCode == "" {
		c.bad(line, "payee_code", "", "is empty")
	}
	if out.PaymentCode == "" {
		c.bad(line, "payment_code", "", "is empty")
	}
	month, year := cell("month"), cell("financial_year")
	switch {
	case (month == "") == (year == ""):
		c.bad(line, "month", month+year, "a row has a month or a financial year, and only one")
	case month != "":
		m, err := period.ParseMonth(month)
		if err != nil {
			c.bad(line, "month", month, "is no month written YYYY-MM")
			return
		}
		out.Period, out.From, out.To = month, m, m
	default:
		y, err := period.ParseFinancialYear(strings.ReplaceAll(year, "-", "/"))
		if err != nil {
			c.bad(line, "financial_year", year, "is no year written 2022/23")
			return
		}
		out.Period, out.From, out.To = y.String(), y.First(), y.Last()
	}
}

// takeIn gives the rows of a file their effect. The same bytes again change nothing.
func (s *Service) takeIn(ctx context.Context, tx *change.Tx, header *paymentsv1.ImportHeader, sha256 string, rows []fileRow) (*paymentsv1.ImportResponse, error) {
	code := header.GetCommissionerCode()
	if err := errors.Join(tx.Allow(ctx, importLimit), tx.Lock(ctx, lockKey(code))); err != nil {
		return nil, err
	}
	stored, err := store.ImportOf(ctx, tx, code, header.GetKind(), sha256)
	if err == nil {
		return &paymentsv1.ImportResponse{File: importToProto(stored), AlreadyImported: true}, nil
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return nil, err
	}
	row := store.ImportRow{
		ID: tx.NewID(), CommissionerCode: code, Kind: header.GetKind(), FileName: header.GetFileName(), SHA256: sha256, Rows: len(rows),
		ImportedBy: tx.By.Subject, ImportedAt: sqldb.Micros(tx.Now()),
	}
	if header.GetKind() == paymentsv1.FileKind_FILE_KIND_CONFIRMATIONS {
		if err := s.confirm(ctx, tx, code, rows); err != nil {
			return nil, err
		}
	}
	out := make([]store.FileRow, len(rows))
	for i := range rows {
		if rows[i].Outcome == "" {
			rows[i].Outcome = outcomeStored
		}
		out[i] = rows[i].FileRow
		if row.Amount, err = row.Amount.Add(rows[i].Amount); err != nil {
			return nil, err
		}
		switch rows[i].Outcome {
		case outcomeSettled, outcomeRejected, outcomeStored:
			row.Applied++
		case outcomeKnown:
			row.Known++
		default:
			row.Unmatched++
		}
	}
	if err := store.InsertImport(ctx, tx.Tx, row, out); err != nil {
		return nil, err
	}
	file := importToProto(row)
	if _, err := tx.Announce(ctx, "import/"+row.ID, code, &paymentsv1.FileImported{File: file}); err != nil {
		return nil, err
	}
	summary := fmt.Sprintf("imported %s: %d rows, %d applied, %d known before, %d unmatched", header.GetKind(), row.Rows, row.Applied, row.Known, row.Unmatched)
	return &paymentsv1.ImportResponse{File: file}, tx.Record(ctx, "payments/imports/"+row.ID, code, summary)
}

// confirm matches confirmations with payments, by reference or else by payee and amount, and settles or rejects them.
func (s *Service) confirm(ctx context.Context, tx *change.Tx, code string, rows []fileRow) error {
	runs := make(map[string]bool)
	for i := range rows {
		row := &rows[i]
		payment, outcome, err := matching(ctx, tx, code, row)
		if err != nil {
			return err
		}
		if payment == nil {
			row.Outcome = outcome
			row.Note = noteOf(outcome)
			continue
		}
		row.PaymentID = payment.ID
		if row.Outcome = confirmable(payment, row); row.Outcome != "" {
			row.Note = noteOf(row.Outcome)
			continue
		}
		if err := s.settle(ctx, tx, payment, row); err != nil {
			return err
		}
		runs[payment.RunID] = true
	}
	for _, id := range sortedKeys(runs) {
		if err := s.settleRun(ctx, tx, id); err != nil {
			return err
		}
	}
	return nil
}

func noteOf(outcome string) string {
	switch outcome {
	case outcomeNotFound:
		return "no payment that was sent has this reference, nor is there just one of this payee and amount that waits"
	case outcomeAmountDiffers:
		return "the payment was sent with another amount: ask the payer"
	case outcomeStateDiffers:
		return "the payment was confirmed otherwise before: ask the payer"
	}
	return ""
}

// matching finds the payment a row is of. It returns none if there is none, or more than one that fits.
func matching(ctx context.Context, tx *change.Tx, code string, row *fileRow) (*store.PaymentRow, string, error) {
	scope := store.Page{Commissioners: []string{code}}
	if row.Reference != "" {
		found, err := store.Payments(ctx, tx, store.PaymentFilter{Page: scope, PaymentID: row.Reference})
		if err != nil || len(found) > 0 {
			return firstOf(found), "", err
		}
	}
	if row.PayeeCode == "" {
		return nil, outcomeNotFound, nil
	}
	found, err := store.Payments(ctx, tx, store.PaymentFilter{Page: scope, PayeeCode: row.PayeeCode, State: paymentsv1.PaymentState_PAYMENT_STATE_SENT})
	if err != nil {
		return nil, "", err
	}
	found = slices.DeleteFunc(found, func(p store.PaymentRow) bool { return p.Amount != row.Amount })
	if len(found) != 1 {
		return nil, outcomeNotFound, nil
	}
	return &found[0], "", nil
}

func firstOf(found []store.PaymentRow) *store.PaymentRow {
	if len(found) == 0 {
		return nil
	}
	return &found[0]
}

// confirmable returns why a row cannot take effect on a payment; empty means that it can. What was paid can be returned later.
func confirmable(p *store.PaymentRow, row *fileRow) string {
	const (
		paid  = paymentsv1.PaymentState_PAYMENT_STATE_SETTLED
		sent  = paymentsv1.PaymentState_PAYMENT_STATE_SENT
		no    = paymentsv1.PaymentState_PAYMENT_STATE_REJECTED
		again = paymentsv1.PaymentState_PAYMENT_STATE_REISSUED
	)
	switch {
	case p.Amount != row.Amount:
		return outcomeAmountDiffers
	case p.State == sent, p.State == paid && row.rejected:
		return ""
	case p.State == paid, row.rejected && (p.State == no || p.State == again):
		return outcomeKnown
	default:
		return outcomeStateDiffers
	}
}

// settle records that a payment was paid, or rejected.
func (s *Service) settle(ctx context.Context, tx *change.Tx, p *store.PaymentRow, row *fileRow) error {
	from, to, kind := rules.Sent, rules.Settled, rules.Settlement
	fromItem, toItem := store.Sent, store.Settled
	if p.State == paymentsv1.PaymentState_PAYMENT_STATE_SETTLED {
		from, fromItem = rules.Settled, store.Settled
	}
	row.Outcome, p.State = outcomeSettled, paymentsv1.PaymentState_PAYMENT_STATE_SETTLED
	if row.rejected {
		to, kind, toItem = rules.Payable, rules.Rejection, store.Rejected
		row.Outcome, p.State = outcomeRejected, paymentsv1.PaymentState_PAYMENT_STATE_REJECTED
	}
	p.ConfirmedOn, p.PayerReference, p.RejectReason = row.confirmedOn, row.payerRef, row.rejectReason
	if err := saved(store.UpdatePayment(ctx, tx.Tx, p)); err != nil {
		return err
	}
	if err := store.Advance(ctx, tx.Tx, p.RunID, p.PayeeCode, fromItem, toItem, p.ID); err != nil {
		return err
	}
	amounts, err := amountsOf(ctx, tx, p)
	if err != nil {
		return err
	}
	day, err := period.ParseDate(row.confirmedOn)
	if err != nil {
		return fault.Bug("payment %s confirmed on %q", p.ID, row.confirmedOn)
	}
	posting := rules.Posting{CommissionerCode: p.CommissionerCode, Kind: kind, Source: "payment/" + p.ID, Entries: rules.Moved(p.PayeeCode, from, to, amounts)}
	if err := store.Post(ctx, tx.Tx, tx.By.Subject, day, []rules.Posting{posting}); err != nil {
		return err
	}
	var event proto.Message = &paymentsv1.PaymentSettled{Payment: paymentToProto(*p)}
	if row.rejected {
		event = &paymentsv1.PaymentRejected{Payment: paymentToProto(*p)}
	}
	_, err = tx.Announce(ctx, payeeAggregate(p.CommissionerCode, p.PayeeCode), p.CommissionerCode, event)
	return err
}

// amountsOf returns what a payment consists of: its lines, less what was taken off for overpayments.
func amountsOf(ctx context.Context, q sqldb.Querier, p *store.PaymentRow) ([]rules.Amount, error) {
	lines, err := amountsByPayee(ctx, q, store.LineFilter{PaymentID: p.ID})
	if err != nil {
		return nil, err
	}
	taken, err := takenOff(ctx, q, p.RunID, p.PayeeCode)
	if err != nil {
		return nil, err
	}
	amounts := append(lines[p.PayeeCode], negated(taken)...)
	var sum money.Pence
	for _, a := range amounts {
		sum += a.Pence
	}
	if sum != p.Amount {
		return nil, fault.Bug("payment %s of %d pence consists of %d", p.ID, p.Amount, sum)
	}
	return amounts, nil
}

// settleRun notes that every payment of a run is confirmed.
func (s *Service) settleRun(ctx context.Context, tx *change.Tx, runID string) error {
	run, err := store.Run(ctx, tx, runID)
	if err != nil || run.State != exported {
		return err
	}
	waiting, err := store.Payments(ctx, tx, store.PaymentFilter{RunID: runID, State: paymentsv1.PaymentState_PAYMENT_STATE_SENT})
	if err != nil || len(waiting) > 0 {
		return err
	}
	run.State, run.SettledAt = settled, sqldb.Micros(tx.Now())
	if err := saved(store.UpdateRun(ctx, tx.Tx, &run)); err != nil {
		return err
	}
	return s.announceSettled(ctx, tx, run)
}

// ReissuePayment puts the lines of a rejected payment into a new run.
func (s *Service) ReissuePayment(ctx context.Context, req *paymentsv1.ReissuePaymentRequest) (*paymentsv1.ReissuePaymentResponse, error) {
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*paymentsv1.ReissuePaymentResponse, error) {
		p, err := visiblePayment(ctx, tx, req.GetPaymentId())
		if err != nil {
			return nil, err
		}
		if err := tx.Lock(ctx, lockKey(p.CommissionerCode)); err != nil {
			return nil, err
		}
		if err := checkTag(req.GetEtag(), p.Version); err != nil {
			return nil, err
		}
		if p.State != paymentsv1.PaymentState_PAYMENT_STATE_REJECTED {
			return nil, fault.New(fault.Refused, rules.ReasonPaymentNotRejected, "payment %s was not rejected by the payer, or was issued again before", p.ID)
		}
		if err := s.reverseApproval(ctx, tx, p.RunID, p.CommissionerCode, p.PayeeCode); err != nil {
			return nil, err
		}
		if err := store.Reopen(ctx, tx.Tx, p.ID); err != nil {
			return nil, err
		}
		p.State = paymentsv1.PaymentState_PAYMENT_STATE_REISSUED
		if err := saved(store.UpdatePayment(ctx, tx.Tx, &p)); err != nil {
			return nil, err
		}
		was, err := store.Run(ctx, tx, p.RunID)
		if err != nil {
			return nil, err
		}
		run, err := s.assembled(ctx, tx, commissioner{code: p.CommissionerCode}, was.Month)
		if err != nil {
			return nil, err
		}
		if _, err := store.Gather(ctx, tx.Tx, p.CommissionerCode, was.Month, run.ID); err != nil {
			return nil, err
		}
		out := &paymentsv1.ReissuePaymentResponse{Payment: paymentToProto(p), RunId: run.ID}
		_, err = tx.Announce(ctx, payeeAggregate(p.CommissionerCode, p.PayeeCode), p.CommissionerCode, &paymentsv1.PaymentReissued{Payment: out.GetPayment(), RunId: run.ID})
		if err != nil {
			return nil, err
		}
		return out, tx.Record(ctx, "payments/payments/"+p.ID, p.CommissionerCode, fmt.Sprintf("issued payment %s again in run %s: %s", p.ID, run.ID, req.GetReason()))
	})
}

// visiblePayment loads a payment that the caller may see.
func visiblePayment(ctx context.Context, q sqldb.Querier, id string) (store.PaymentRow, error) {
	p, err := store.Payment(ctx, q, id)
	if errors.Is(err, sql.ErrNoRows) || (err == nil && !holds(ctx, p.CommissionerCode)) {
		return p, fault.New(fault.NotFound, rules.ReasonPaymentNotFound, "there is no payment %q", id)
	}
	return p, err
}

// GetPayment returns one payment.
func (s *Service) GetPayment(ctx context.Context, req *paymentsv1.GetPaymentRequest) (out *paymentsv1.Payment, err error) {
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		p, err := visiblePayment(ctx, q, req.GetPaymentId())
		out = paymentToProto(p)
		return err
	})
	return out, err
}

// ListPayments returns a page of payments.
func (s *Service) ListPayments(ctx context.Context, req *paymentsv1.ListPaymentsRequest) (*paymentsv1.ListPaymentsResponse, error) {
	by, err := pageOf(ctx, req.GetCommissionerCode(), req)
	if err != nil {
		return nil, err
	}
	var rows []store.PaymentRow
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err = store.Payments(ctx, q, store.PaymentFilter{Page: by, RunID: req.GetRunId(), PayeeCode: req.GetPayeeCode(), State: req.GetState()})
		return err
	})
	if err != nil {
		return nil, err
	}
	out := new(paymentsv1.ListPaymentsResponse)
	rows, out.NextPageToken = page.Cut(rows, by.Limit-1, func(p store.PaymentRow) string { return p.ID })
	for _, row := range rows {
		out.Payments = append(out.Payments, paymentToProto(row))
	}
	return out, nil
}

// ListImports returns a page of files.
func (s *Service) ListImports(ctx context.Context, req *paymentsv1.ListImportsRequest) (*paymentsv1.ListImportsResponse, error) {
	by, err := pageOf(ctx, req.GetCommissionerCode(), req)
	if err != nil {
		return nil, err
	}
	var rows []store.ImportRow
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err = store.Imports(ctx, q, by)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := new(paymentsv1.ListImportsResponse)
	rows, out.NextPageToken = page.Cut(rows, by.Limit-1, func(i store.ImportRow) string { return i.ID })
	for _, row := range rows {
		out.Files = append(out.Files, importToProto(row))
	}
	return out, nil
}

// ListImportedRows returns a page of the rows of a file.
func (s *Service) ListImportedRows(ctx context.Context, req *paymentsv1.ListImportedRowsRequest) (*paymentsv1.ListImportedRowsResponse, error) {
	after, err := lineKey(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := page.Size(req.GetPageSize(), defaultPage)
	var rows []store.FileRow
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		file, err := store.Import(ctx, q, req.GetImportId())
		if errors.Is(err, sql.ErrNoRows) || (err == nil && !holds(ctx, file.CommissionerCode)) {
			return fault.New(fault.NotFound, rules.ReasonImportNotFound, "there is no file %q", req.GetImportId())
		}
		if err != nil {
			return err
		}
		rows, err = store.FileRows(ctx, q, store.FileRowFilter{ImportID: file.ID, UnmatchedOnly: req.GetUnmatchedOnly(), After: after, Limit: size + 1})
		return err
	})
	if err != nil {
		return nil, err
	}
	out := new(paymentsv1.ListImportedRowsResponse)
	rows, out.NextPageToken = page.Cut(rows, size, func(r store.FileRow) string { return fmt.Sprint(r.Line) })
	for _, row := range rows {
		out.Rows = append(out.Rows, fileRowToProto(row))
	}
	return out, nil
}
