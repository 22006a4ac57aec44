package payments_test

import (
	"context"
	"encoding/csv"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/export"
)

const (
	journal  = paymentsv1.Format_FORMAT_JOURNAL
	invoices = paymentsv1.Format_FORMAT_PAYABLES_INVOICES
	bankFile = paymentsv1.Format_FORMAT_PAIN_001

	april1, may1 = "15N-2022-04-1", "15N-2022-05-1"
)

// mapping makes a code of a stream whose subjective segment is the stream's own name.
func mapping(stream, organisation, subjective string) *paymentsv1.CodeMapping {
	return &paymentsv1.CodeMapping{
		Stream: stream, OrganisationCode: organisation, EffectiveFrom: "2022-04-01", Entity: "E", CostCentre: "C", Subjective: subjective, Analysis1: "A",
		Analysis2: "B", Spare: "0", VatTreatment: paymentsv1.VatTreatment_VAT_TREATMENT_EXEMPT, VatCode: "E1",
	}
}

func (s *suite) addCodes(t testing.TB, by string, mappings []*paymentsv1.CodeMapping, suppliers ...*paymentsv1.Supplier) error {
	t.Helper()
	_, err := s.payments.AddCodes(s.as(t.Context(), by), &paymentsv1.AddCodesRequest{
		RequestId: s.next(), CommissionerCode: "15N", Mappings: mappings, Suppliers: suppliers, Reason: "test",
	})
	return err
}

func (s *suite) setProfile(t testing.TB, profile *paymentsv1.ExportProfile) error {
	t.Helper()
	_, err := s.payments.SetSetting(s.as(t.Context(), "ann"), &paymentsv1.SetSettingRequest{
		RequestId: s.next(), CommissionerCode: "15N", FromMonth: "2022-04", Reason: "test",
		Choice: &paymentsv1.SetSettingRequest_ExportProfile{ExportProfile: profile},
	})
	return err
}

// coded gives the commissioner what its journals and bank files need, apart from suppliers.
func (s *suite) coded(t testing.TB) {
	t.Helper()
	s.codedFor(t, "15N")
	require.NoError(t, s.setProfile(t, &paymentsv1.ExportProfile{
		Format: bankFile, Texts: map[string]string{"payer_name": "Body 15N", "payer_account_token": "acc-payer"},
	}))
	s.accounts.Store(new(func(tokens []string) (map[string]export.Account, error) {
		out := make(map[string]export.Account)
		for _, token := range tokens {
			out[token] = export.Account{Name: token, SortCode: "200000", AccountNumber: "00000012"}
		}
		return out, nil
	}))
}

// codedFor gives a commissioner what its journals need.
func (s *suite) codedFor(t require.TestingT, code string) {
	_, err := s.payments.AddCodes(s.as(context.Background(), "ann"), &paymentsv1.AddCodesRequest{
		RequestId: s.next(), CommissionerCode: code, Reason: "test",
		Mappings: []*paymentsv1.CodeMapping{mapping("CORE_PCN", "", "EXPENSE"), mapping("CONTROL", "", "CONTROL"), mapping("RECOVERY", "", "RECOVERY")},
	})
	require.NoError(t, err)
	_, err = s.payments.SetSetting(s.as(context.Background(), "ann"), &paymentsv1.SetSettingRequest{
		RequestId: s.next(), CommissionerCode: code, FromMonth: "2022-04", Reason: "test",
		Choice: &paymentsv1.SetSettingRequest_ExportProfile{ExportProfile: &paymentsv1.ExportProfile{
			Format: journal, Texts: map[string]string{"journal_source": "PCN", "journal_category": "PCN"},
		}},
	})
	require.NoError(t, err)
}

// suppliedFor gives a commissioner what its invoices need beside codes.
func (s *suite) suppliedFor(t testing.TB, code string, payees ...string) {
	t.Helper()
	req := &paymentsv1.AddCodesRequest{RequestId: s.next(), CommissionerCode: code, Reason: "test"}
	for _, payee := range payees {
		known := supplier(payee, "acc-"+payee)
		known.SupplierSite = "MAIN"
		req.Suppliers = append(req.Suppliers, known)
	}
	_, err := s.payments.AddCodes(s.as(t.Context(), "ann"), req)
	require.NoError(t, err)
	_, err = s.payments.SetSetting(s.as(t.Context(), "ann"), &paymentsv1.SetSettingRequest{
		RequestId: s.next(), CommissionerCode: code, FromMonth: "2022-04", Reason: "test",
		Choice: &paymentsv1.SetSettingRequest_ExportProfile{ExportProfile: &paymentsv1.ExportProfile{Format: invoices, Texts: map[string]string{"approver": "A. Body"}}},
	})
	require.NoError(t, err)
}

func supplier(payee, token string) *paymentsv1.Supplier {
	return &paymentsv1.Supplier{PayeeCode: payee, SupplierNumber: "1", AccountToken: token, EffectiveFrom: "2022-04-01"}
}

// passes takes a run from assembled to approved.
func (s *suite) passes(t testing.TB, id string) *paymentsv1.Run {
	t.Helper()
	_, err := s.submit(t, "maker", id)
	require.NoError(t, err)
	run, err := s.approve(t, "ann", id)
	require.NoError(t, err)
	return run
}

func (s *suite) exportBy(t testing.TB, by string, req *paymentsv1.ExportRunRequest) (*paymentsv1.Export, error) {
	t.Helper()
	req.RequestId = s.next()
	return s.payments.ExportRun(s.as(t.Context(), by), req)
}

func (s *suite) hold(t testing.TB, payee string) {
	t.Helper()
	_, err := s.payments.PlaceHold(s.as(t.Context(), "maker"), &paymentsv1.PlaceHoldRequest{
		RequestId: s.next(), CommissionerCode: "15N", PayeeCode: payee, Reason: "doubt",
	})
	require.NoError(t, err)
}

func (s *suite) file(t testing.TB, id string) string {
	t.Helper()
	body, err := s.payments.DownloadExport(s.as(t.Context(), "auditor"), &paymentsv1.DownloadExportRequest{ExportId: id})
	require.NoError(t, err)
	return string(body.GetData())
}

// table reads a CSV file as rows by header.
func table(t require.TestingT, content string) (out []map[string]string) {
	rows, err := csv.NewReader(strings.NewReader(content)).ReadAll()
	require.NoError(t, err)
	for _, row := range rows[1:] {
		byHeader := make(map[string]string)
		for i, header := range rows[0] {
			byHeader[header] = row[i]
		}
		out = append(out, byHeader)
	}
	return out
}

// debits adds up a journal by subjective segment, a credit below zero.
func debits(t require.TestingT, content string) map[string]int64 {
	out := make(map[string]int64)
	for _, row := range table(t, content) {
		for header, sign := range map[string]int64{"Debit": 1, "Credit": -1} {
			if row[header] == "" {
				continue
			}
			amount, err := money.ParsePence(row[header])
			require.NoError(t, err)
			out[row["Subjective"]] += sign * int64(amount)
		}
	}
	return out
}

func TestExport_OfARemittanceWaitsUntilPaymentsAreSent(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("P1", 10000), pay("P2", 500))
		s.passes(t, april1)
		_, err := s.export(t, april1, remittance)
		require.Equal(t, "RUN_STATE_DIFFERS", reason(err), "a hold may still keep a payee back")
		s.hold(t, "P2")
		_, err = s.export(t, april1, variation)
		require.NoError(t, err)
		advice, err := s.export(t, april1, remittance)
		require.NoError(t, err)
		require.Equal(t, int64(10000), advice.GetAmountPence())
		require.NotContains(t, s.file(t, advice.GetExportId()), "P2")
		s.books(t).hold(t)
	})
}

func TestExport_JournalsEveryLineThatWasApproved(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.coded(t)
		s.closes(t, "15N", "2022-04", 1, pay("P1", -10000), pay("P2", 50000), pay("P3", 700), pay("P3", -700), pay("P4", 900))
		s.passes(t, april1)
		s.hold(t, "P4")
		first, err := s.export(t, april1, journal)
		require.NoError(t, err)
		require.Equal(t, []int64{1, 50000}, []int64{int64(first.GetPayments()), first.GetAmountPence()})
		content := s.file(t, first.GetExportId())
		require.Equal(t, map[string]int64{"EXPENSE": 40000, "RECOVERY": 10000, "CONTROL": -50000}, debits(t, content))
		require.Len(t, table(t, content), 2+2+2, "P1 and its recovery, P2 and its control, P3 twice, nothing of P4")

		s.closes(t, "15N", "2022-05", 1, pay("P1", 10000), pay("P2", 100))
		s.passes(t, may1)
		second, err := s.export(t, may1, journal)
		require.NoError(t, err)
		require.Equal(t, map[string]int64{"EXPENSE": 10100 + 900, "RECOVERY": -10000, "CONTROL": -100 - 900}, s.withReleased(t, second))
		s.books(t).hold(t)
	})
}

// withReleased adds to the journal of a run one with what was kept back before.
func (s *suite) withReleased(t testing.TB, e *paymentsv1.Export) map[string]int64 {
	t.Helper()
	out := debits(t, s.file(t, e.GetExportId()))
	holds, err := s.payments.ListHolds(s.as(t.Context(), "auditor"), &paymentsv1.ListHoldsRequest{CommissionerCode: "15N"})
	require.NoError(t, err)
	require.Len(t, holds.GetHolds(), 1)
	released := s.release(t, holds.GetHolds()[0].GetHoldId())
	require.Len(t, released.GetRunIds(), 1)
	s.passes(t, released.GetRunIds()[0])
	next, err := s.export(t, released.GetRunIds()[0], journal)
	require.NoError(t, err)
	for subjective, pence := range debits(t, s.file(t, next.GetExportId())) {
		out[subjective] += pence
	}
	return out
}

func TestExport_JournalsARunThatItsApprovalSettled(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.coded(t)
		s.closes(t, "15N", "2022-04", 1, pay("P1", -10000))
		approved := s.passes(t, april1)
		require.Equal(t, paymentsv1.RunState_RUN_STATE_SETTLED, approved.GetState())
		_, err := s.export(t, april1, variation)
		require.Equal(t, "RUN_STATE_DIFFERS", reason(err), "there is nothing to send")
		file, err := s.export(t, april1, journal)
		require.NoError(t, err)
		require.Zero(t, file.GetPayments())
		require.Equal(t, map[string]int64{"EXPENSE": -10000, "RECOVERY": 10000}, debits(t, s.file(t, file.GetExportId())))
		run := s.run(t, april1)
		require.Equal(t, approved.GetSettledAt().AsTime(), run.GetSettledAt().AsTime())
		require.Equal(t, file.GetExportId(), run.GetExportId())
		_, err = s.export(t, april1, journal)
		require.Equal(t, "RUN_EXPORTED", reason(err))
		require.Equal(t, 1, s.count(t, "outbox WHERE type = $1", "pcnfunding.payments.v1.RunSettled"))
		s.books(t).hold(t)
	})
}

func TestExport_RefusesAnAccountThatTheExporterSet(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.coded(t)
		require.NoError(t, s.addCodes(t, "ann", nil, supplier("P1", "acc-one"), supplier("P2", "acc-two")))
		s.closes(t, "15N", "2022-04", 1, pay("P1", 10000), pay("P2", -500))
		s.passes(t, april1)
		require.NoError(t, s.addCodes(t, "ann", nil, supplier("P1", "acc-own"), supplier("P2", "acc-own")))
		_, err := s.exportBy(t, "ann", &paymentsv1.ExportRunRequest{RunId: april1, Format: bankFile})
		require.Equal(t, "EXPORTER_SET_ACCOUNT", reason(err))
		require.Equal(t, codes.PermissionDenied, status.Code(err))
		require.Zero(t, s.count(t, "exports"))
		list, err := s.payments.ListSuppliers(s.as(t.Context(), "auditor"), &paymentsv1.ListSuppliersRequest{CommissionerCode: "15N"})
		require.NoError(t, err)
		require.Equal(t, "ann", list.GetSuppliers()[0].GetRecordedBy())
		require.Equal(t, s.clock.Now().Add(-2*time.Second), list.GetSuppliers()[0].GetRecordedAt().AsTime(), "two calls ago")
		_, err = s.exportBy(t, "bob", &paymentsv1.ExportRunRequest{RunId: april1, Format: bankFile})
		require.NoError(t, err, "another person has seen the account")
	})
}

func TestExport_TakesAnAccountThatTheExporterSetBefore(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.coded(t)
		forged := supplier("P1", "acc-one")
		forged.RecordedBy = "nobody"
		require.NoError(t, s.addCodes(t, "ann", nil, forged))
		s.closes(t, "15N", "2022-04", 1, pay("P1", 10000))
		s.passes(t, april1)
		_, err := s.exportBy(t, "ann", &paymentsv1.ExportRunRequest{RunId: april1, Format: bankFile})
		require.NoError(t, err)
		require.Equal(t, []string{"ann"}, s.texts(t, `SELECT recorded_by FROM suppliers`))
	})
}

func TestExport_BoundsItsDays(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.coded(t)
		require.NoError(t, s.addCodes(t, "ann", nil, supplier("P1", "acc-one")))
		const past, present = april1, "15N-2026-01-1"
		s.closes(t, "15N", "2022-04", 1, pay("P1", 10000))
		s.passes(t, past)
		s.closes(t, "15N", "2026-01", 1, pay("P1", 10000))
		s.passes(t, present) // on 15 January 2026
		s.clock.Advance(48 * time.Hour)
		for name, c := range map[string]struct {
			run, accounting, payOn string
			format                 paymentsv1.Format
			reason                 string
		}{
			"tomorrow":                 {past, "2026-01-18", "", journal, "PERIOD_INVALID"},
			"before the month's end":   {past, "2022-04-29", "", journal, "PERIOD_INVALID"},
			"before the approval":      {present, "2026-01-14", "", journal, "PERIOD_INVALID"},
			"no day":                   {present, "2026-02-30", "", journal, "DATE_MALFORMED"},
			"paid yesterday":           {present, "", "2026-01-16", bankFile, "PERIOD_INVALID"},
			"paid in 32 days":          {present, "", "2026-02-18", bankFile, "PERIOD_INVALID"},
			"paid by no bank":          {present, "", "2026-01-17", journal, "FORMAT_INVALID"},
			"paid on a day that never": {present, "", "2026-02-30", bankFile, "DATE_MALFORMED"},
		} {
			_, err := s.exportBy(t, "bob", &paymentsv1.ExportRunRequest{RunId: c.run, Format: c.format, AccountingDate: c.accounting, PayOn: c.payOn})
			require.Equal(t, c.reason, reason(err), name)
		}
		_, err := s.exportBy(t, "bob", &paymentsv1.ExportRunRequest{RunId: past, Format: bankFile, AccountingDate: "2022-04-30"})
		require.NoError(t, err)
		require.Contains(t, s.file(t, past+"-pain-001"), "<Dt>2026-01-17</Dt>", "the bank pays today, whatever day the books bear")
		require.Equal(t, "2022-04-30", s.payment(t, past+"-P1").GetSentOn())
		_, err = s.exportBy(t, "bob", &paymentsv1.ExportRunRequest{RunId: present, Format: bankFile, AccountingDate: "2026-01-15", PayOn: "2026-02-17"})
		require.NoError(t, err)
		require.Contains(t, s.file(t, present+"-pain-001"), "<Dt>2026-02-17</Dt>")
		_, err = s.exportBy(t, "bob", &paymentsv1.ExportRunRequest{RunId: present, Format: remittance, AccountingDate: "2026-01-18"})
		require.Equal(t, "PERIOD_INVALID", reason(err))
	})
}

func TestExport_OfNothingIsEmptyInEveryFormat(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("P1", 10000))
		for number, format := range []paymentsv1.Format{journal, invoices, variation, bankFile} {
			id := april1[:len(april1)-1] + string(rune('1'+number))
			if number > 0 {
				_, err := s.payments.AssembleRun(s.as(t.Context(), "maker"), &paymentsv1.AssembleRunRequest{
					RequestId: s.next(), CommissionerCode: "15N", Month: "2022-04",
				})
				require.NoError(t, err)
			}
			s.passes(t, id)
			s.hold(t, "P1")
			file, err := s.export(t, id, format)
			require.NoError(t, err, format)
			require.Zero(t, file.GetPayments()+int32(file.GetAmountPence()+file.GetSizeBytes()), format)
			require.Empty(t, s.file(t, file.GetExportId()), format)
			require.Equal(t, paymentsv1.RunState_RUN_STATE_SETTLED, s.run(t, id).GetState(), format)
			advice, err := s.export(t, id, remittance)
			require.NoError(t, err)
			require.Empty(t, s.file(t, advice.GetExportId()))
			holds, err := s.payments.ListHolds(s.as(t.Context(), "auditor"), &paymentsv1.ListHoldsRequest{CommissionerCode: "15N", OpenOnly: true})
			require.NoError(t, err)
			_, err = s.payments.ReleaseHold(s.as(t.Context(), "ann"), &paymentsv1.ReleaseHoldRequest{
				RequestId: s.next(), HoldId: holds.GetHolds()[0].GetHoldId(), Etag: holds.GetHolds()[0].GetEtag(), Reason: "answered",
			})
			require.NoError(t, err)
		}
		s.books(t).hold(t)
	})
}

func TestExport_KnowsTheOrganisationOfARecovery(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.coded(t)
		require.NoError(t, s.addCodes(t, "ann", []*paymentsv1.CodeMapping{mapping("RECOVERY", "P1", "RECOVERED")}))
		err := s.addCodes(t, "ann", []*paymentsv1.CodeMapping{mapping("CORE_PCN", "", "X"), mapping("CONTROL", "P1", "X")})
		require.Equal(t, "SETTING_INVALID", reason(err))
		s.closes(t, "15N", "2022-04", 1, pay("P1", -300), pay("P2", -100), pay("P3", 1))
		s.passes(t, april1)
		file, err := s.export(t, april1, journal)
		require.NoError(t, err)
		require.Equal(t, map[string]int64{"EXPENSE": -399, "RECOVERED": 300, "RECOVERY": 100, "CONTROL": -1}, debits(t, s.file(t, file.GetExportId())))
		s.closes(t, "15N", "2022-05", 1, pay("P1", 1000))
		s.pays(t, may1)
		rows := table(t, s.file(t, may1+"-pcse-variation"))
		at := slices.IndexFunc(rows, func(row map[string]string) bool { return row["Pay Code"] == "RECOVERY" })
		require.GreaterOrEqual(t, at, 0)
		require.Equal(t, []string{"P1", "-3.00"}, []string{rows[at]["Organisation Code"], rows[at]["Amount"]})
	})
}

func TestExport_WaitsForAResolverThatGivesNoAnswer(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.coded(t)
		require.NoError(t, s.addCodes(t, "ann", nil, supplier("P1", "acc-one")))
		s.closes(t, "15N", "2022-04", 1, pay("P1", 10000))
		s.passes(t, april1)
		answers := s.accounts.Load()
		silent := 2
		s.accounts.Store(new(func(tokens []string) (map[string]export.Account, error) {
			if silent--; silent >= 0 {
				return nil, errors.New("no route to host")
			}
			return (*answers)(tokens)
		}))
		_, err := s.export(t, april1, bankFile)
		require.NoError(t, err, "the client tries again")
		require.Equal(t, -1, silent)
	})
}

func TestSetSetting_RefusesTextsThatNoFileShows(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		for name, texts := range map[string]map[string]string{
			"unknown name":    {"journal_sauce": "PCN"},
			"account number":  {"payer_account_token": "20-00-00 00000012"},
			"token too short": {"payer_account_token": "acc"},
		} {
			err := s.setProfile(t, &paymentsv1.ExportProfile{Format: bankFile, Texts: texts})
			require.Equal(t, "SETTING_INVALID", reason(err), name)
			require.Contains(t, status.Convert(err).Message(), "journal_source", "the names that there are")
			require.NotContains(t, err.Error(), "00000012")
		}
		require.NoError(t, s.setProfile(t, &paymentsv1.ExportProfile{Format: bankFile, Texts: map[string]string{"payer_account_token": ""}}))
		require.Equal(t, 1, s.count(t, "settings"))
	})
}

func TestSetSetting_RefusesWhatAFormatDoesNotHave(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		amount := &paymentsv1.ExportColumn{Header: "Amount", Field: "amount"}
		for name, profile := range map[string]*paymentsv1.ExportProfile{
			"columns of a bank file":        {Format: bankFile, Columns: []*paymentsv1.ExportColumn{amount}},
			"delimiter of a bank file":      {Format: bankFile, Delimiter: ";"},
			"days of a bank file":           {Format: bankFile, DateFormat: "YYYY-MM-DD"},
			"signs of a bank file":          {Format: bankFile, SignRule: paymentsv1.SignRule_SIGN_RULE_DEBIT_POSITIVE},
			"signs of a remittance":         {Format: remittance, SignRule: paymentsv1.SignRule_SIGN_RULE_DEBIT_CREDIT},
			"one amount twice":              {Format: variation, Columns: []*paymentsv1.ExportColumn{amount, {Header: "Value", Field: "amount"}}},
			"two columns under a sign rule": {Format: journal, SignRule: paymentsv1.SignRule_SIGN_RULE_DEBIT_POSITIVE, Columns: []*paymentsv1.ExportColumn{amount, amount}},
		} {
			require.Equal(t, "EXPORT_PROFILE_INVALID", reason(s.setProfile(t, profile)), name)
		}
		require.NoError(t, s.setProfile(t, &paymentsv1.ExportProfile{Format: journal, SignRule: paymentsv1.SignRule_SIGN_RULE_DEBIT_POSITIVE, Delimiter: ";"}))
	})
}

// TestTransparencyList_KeepsAPublishedMonth holds that a payment which comes back later stays in the list of the month it was paid in, and
// is taken off in that of its return.
func TestTransparencyList_KeepsAPublishedMonth(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.coded(t)
		require.NoError(t, s.setProfile(t, &paymentsv1.ExportProfile{Format: paymentsv1.Format_FORMAT_TRANSPARENCY, Columns: []*paymentsv1.ExportColumn{
			{Header: "Date", Field: "date"}, {Header: "No", Field: "reference"}, {Header: "Amount", Field: "amount"},
		}}))
		list := func(month string) string {
			got, err := s.payments.DownloadTransparencyList(s.as(t.Context(), "auditor"), &paymentsv1.DownloadTransparencyListRequest{
				CommissionerCode: "15N", Month: month,
			})
			require.NoError(t, err)
			return strings.TrimPrefix(string(got.GetData()), "Date,No,Amount\r\n")
		}
		s.closes(t, "15N", "2022-04", 1, pay("P1", 30_000_00), pay("P2", 25_000_00), pay("P3", 40_000_00))
		s.passes(t, april1)
		_, err := s.export(t, april1, journal)
		require.NoError(t, err)
		s.clock.Advance(2 * day)
		s.confirms(t, "15N", april1+"-P1,,PAID,2026-01-16,30000.00,", april1+"-P2,,PAID,2026-01-16,25000.00,", april1+"-P3,,REJECTED,2026-01-16,40000.00,closed")
		published := "2026-01-16," + april1 + "-P1,30000.00\r\n"
		require.Equal(t, published, list("2026-01"))
		s.clock.Advance(30 * day)
		s.confirms(t, "15N", april1+"-P1,,RETURNED,2026-02-03,30000.00,closed")
		require.Equal(t, published, list("2026-01"))
		require.Equal(t, "2026-02-03,"+april1+"-P1,-30000.00\r\n", list("2026-02"))
		_, err = s.reissue(t, april1+"-P1")
		require.NoError(t, err)
		require.Equal(t, published, list("2026-01"))
	})
}

// issuedAgain has a payment of a run rejected and issued again, and returns the run that holds its lines.
func (s *suite) issuedAgain(t testing.TB, id, amount string) string {
	t.Helper()
	_, err := s.confirm(t.Context(), s.next(), "15N", confirmations([3]string{id, "REJECTED", amount}))
	require.NoError(t, err)
	again, err := s.reissue(t, id)
	require.NoError(t, err)
	return again.GetRunId()
}

func TestExport_TakesAPaymentBackThatIsIssuedAgain(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.coded(t)
		s.closes(t, "15N", "2022-04", 1, pay("P1", 10000), pay("P2", 500))
		s.passes(t, april1)
		first, err := s.export(t, april1, journal)
		require.NoError(t, err)
		again := s.issuedAgain(t, april1+"-P1", "100.00")
		require.NoError(t, s.addCodes(t, "ann", []*paymentsv1.CodeMapping{mapping("CORE_PCN", "", "RECODED"), mapping("CONTROL", "", "CREDITORS")}))
		s.closes(t, "15N", "2022-04", 2, pay("P3", 70))
		s.passes(t, again)
		second, err := s.export(t, again, journal)
		require.NoError(t, err)
		require.Equal(t, []int64{2, 10070, 1, 10000},
			[]int64{int64(second.GetPayments()), second.GetAmountPence(), int64(second.GetReversals()), second.GetReversedPence()})
		require.Equal(t, map[string]int64{"EXPENSE": -10000, "CONTROL": 10000, "RECODED": 10070, "CREDITORS": -10070}, debits(t, s.file(t, second.GetExportId())),
			"what the first journal booked goes back by the codes it was booked by")
		for _, row := range table(t, s.file(t, second.GetExportId())) {
			back := row["Reference"] == april1+"-P1"
			require.Equal(t, map[bool]string{true: "Y", false: "N"}[back], row["Reversal"], row)
			require.Equal(t, back, strings.HasSuffix(row["Line Description"], " reversal"), row)
		}
		both := debits(t, s.file(t, first.GetExportId()))
		for subjective, pence := range debits(t, s.file(t, second.GetExportId())) {
			both[subjective] += pence
		}
		require.Equal(t, map[string]int64{"EXPENSE": 500, "CONTROL": -500, "RECODED": 10070, "CREDITORS": -10070}, both, "each line once")
		require.Equal(t, second.GetExportId(), s.payment(t, april1+"-P1").GetTakenBackBy())

		third := s.issuedAgain(t, again+"-P1", "100.00")
		s.passes(t, third)
		file, err := s.export(t, third, journal)
		require.NoError(t, err)
		require.Equal(t, map[string]int64{"RECODED": 0, "CREDITORS": 0}, debits(t, s.file(t, file.GetExportId())), "each payment is taken back once")
		require.Len(t, table(t, s.file(t, file.GetExportId())), 4)
		s.books(t).hold(t)
	})
}

func TestExport_CreditsAnInvoiceThatIsIssuedAgain(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.coded(t)
		require.NoError(t, s.setProfile(t, &paymentsv1.ExportProfile{Format: invoices, Texts: map[string]string{"approver": "A. Body"}}))
		was, now := supplier("P1", "acc-one"), supplier("P1", "acc-two")
		was.SupplierSite, now.SupplierSite = "OLD", "NEW"
		require.NoError(t, s.addCodes(t, "ann", nil, was))
		s.closes(t, "15N", "2022-04", 1, pay("P1", 10000))
		s.passes(t, april1)
		_, err := s.export(t, april1, invoices)
		require.NoError(t, err)
		again := s.issuedAgain(t, april1+"-P1", "100.00")
		require.NoError(t, s.addCodes(t, "ann", nil, now))
		s.passes(t, again)
		file, err := s.export(t, again, invoices)
		require.NoError(t, err)
		var got []string
		for _, row := range table(t, s.file(t, file.GetExportId())) {
			got = append(got, strings.Join([]string{row["Row Type"], row["Invoice Number"], row["Supplier Site"], row["Gross"], row["Description"]}, "|"))
		}
		require.Equal(t, []string{
			"HEADER|" + april1 + "-P1-R|OLD|-100.00|Credit note for " + april1 + "-P1",
			"LINE|" + april1 + "-P1-R|OLD|-100.00|CORE_PCN 2022-04 UP1 reversal",
			"HEADER|" + again + "-P1|NEW|100.00|PCN funding " + again,
			"LINE|" + again + "-P1|NEW|100.00|CORE_PCN 2022-04 UP1",
		}, got)
	})
}

func TestExport_TakesNothingBackOfWhatNoLedgerBooked(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.coded(t)
		s.closes(t, "15N", "2022-04", 1, pay("P1", 10000))
		s.pays(t, april1)
		again := s.issuedAgain(t, april1+"-P1", "100.00")
		s.passes(t, again)
		file, err := s.export(t, again, journal)
		require.NoError(t, err)
		require.Zero(t, file.GetReversals(), "PCSE was told to pay, and no journal of it was loaded")
		require.Equal(t, map[string]int64{"EXPENSE": 10000, "CONTROL": -10000}, debits(t, s.file(t, file.GetExportId())))
	})
}

func TestExport_NamesThePeriodOfItsAccountingDate(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.coded(t)
		s.closes(t, "15N", "2022-04", 1, pay("P1", 10000))
		s.passes(t, april1)
		_, err := s.exportBy(t, "bob", &paymentsv1.ExportRunRequest{RunId: april1, Format: journal, AccountingDate: "2022-05-02"})
		require.NoError(t, err)
		for _, row := range table(t, s.file(t, april1+"-journal")) {
			require.Equal(t, []string{"MAY-22", "2022-05-02"}, []string{row["Period"], row["Accounting Date"]})
		}
	})
}

func TestExport_OfInformationKeepsItsDay(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("P1", 10000))
		s.pays(t, april1)
		advise := func(day string) (*paymentsv1.Export, error) {
			return s.exportBy(t, "bob", &paymentsv1.ExportRunRequest{RunId: april1, Format: remittance, AccountingDate: day})
		}
		first, err := advise("2022-05-31")
		require.NoError(t, err)
		require.Equal(t, "2022-05-31", first.GetAccountingDate())
		s.clock.Advance(day)
		for _, same := range []string{"2022-05-31", ""} {
			again, err := advise(same)
			require.NoError(t, err)
			require.True(t, proto.Equal(first, again), same)
		}
		before := s.dump(t)
		_, err = advise("2022-06-01")
		require.Equal(t, codes.FailedPrecondition, status.Code(err))
		require.Equal(t, "EXPORT_DATE_DIFFERS", reason(err))
		require.ErrorContains(t, err, "2022-05-31")
		require.Equal(t, before, s.dump(t))
		sent, err := s.payments.GetExport(s.as(t.Context(), "auditor"), &paymentsv1.GetExportRequest{ExportId: april1 + "-pcse-variation"})
		require.NoError(t, err)
		require.Equal(t, firstDay, sent.GetAccountingDate(), "today where none was given")
	})
}

func TestExport_TakesBackThoughNothingElseIsSent(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.coded(t)
		s.closes(t, "15N", "2022-04", 1, pay("P1", 10000))
		s.passes(t, april1)
		_, err := s.export(t, april1, journal)
		require.NoError(t, err)
		again := s.issuedAgain(t, april1+"-P1", "100.00")
		s.passes(t, again)
		s.hold(t, "P1")
		file, err := s.export(t, again, journal)
		require.NoError(t, err)
		require.Equal(t, []int64{0, 1}, []int64{int64(file.GetPayments()), int64(file.GetReversals())})
		require.Equal(t, map[string]int64{"EXPENSE": -10000, "CONTROL": 10000}, debits(t, s.file(t, file.GetExportId())))
		s.books(t).hold(t)
	})
}
