package register_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
)

// loaded is a register that knows January 2022.
func loaded(t testing.TB) *fixture {
	t.Helper()
	f := newFixture(t)
	f.load("gp-reg-pat-prac-map_2022-01-01.csv", "gp-reg-pat-prac-all_2022-01-01.csv")
	return f
}

func TestRecordCalls_ShowInTheNextSnapshot(t *testing.T) {
	t.Parallel()
	f := loaded(t)
	preparer := f.as(testkit.Preparer("16C"))
	bed := &registerv1.RecordCareHomeBedsRequest{
		RequestId: "beds", CommissionerCode: "16C", PcnCode: "U89141", Month: "2022-04", Beds: proto.Int64(120), CodingSatisfied: proto.Bool(true), Source: "CQC",
	}
	first, err := f.client.RecordCareHomeBeds(preparer, bed)
	require.NoError(t, err)
	require.Equal(t, registerv1.FileKind_RECORDED, first.GetKind())
	require.Equal(t, int64(1), first.GetRowsStored())
	require.Equal(t, "CQC", first.GetSource())
	again, err := f.client.RecordCareHomeBeds(preparer, bed)
	require.NoError(t, err)
	require.True(t, proto.Equal(first, again))
	changed := proto.CloneOf(bed)
	changed.Beds = proto.Int64(121)
	_, err = f.client.RecordCareHomeBeds(preparer, changed)
	requireReason(t, err, fault.Exists, "REQUEST_ID_REUSED")
	require.Equal(t, "beds", refusal(t, err).Meta["differs"])

	_, err = f.client.RecordPayee(preparer, &registerv1.RecordPayeeRequest{
		RequestId: "payee", CommissionerCode: "16C", OrganisationCode: "U89141", PayeeCode: "A81001", PayeeName: "The Densham Surgery",
		EffectiveFrom: "2022-04-01", Source: "Network Agreement",
	})
	require.NoError(t, err)
	_, err = f.client.RecordParticipation(preparer, &registerv1.RecordParticipationRequest{
		Participating: proto.Bool(false),
		RequestId:     "leave", CommissionerCode: "16C", PracticeCode: "A81001", NoticeDate: "2022-04-30", EffectiveFrom: "2022-04-30", Source: "letter",
	})
	require.NoError(t, err)
	p := pcn(f.snapshot("16C", "2022-04-01"), "U89141")
	require.Equal(t, int64(120), p.GetBeds().GetBeds())
	require.Equal(t, first.GetLoadId(), p.GetBeds().GetLoadId())
	require.Equal(t, "The Densham Surgery", p.GetPayee().GetName())
	require.True(t, p.GetPractices()[0].GetParticipating())
	require.False(t, pcn(f.snapshot("16C", "2022-05-01"), "U89141").GetPractices()[0].GetParticipating())

	_, err = f.client.RecordMembership(preparer, &registerv1.RecordMembershipRequest{
		RequestId: "move", CommissionerCode: "16C", PracticeCode: "A81001", EffectiveFrom: "2022-06-01", Source: "change instruction",
	})
	require.NoError(t, err)
	for _, q := range pcn(f.snapshot("16C", "2022-06-01"), "U89141").GetPractices() {
		require.NotEqual(t, "A81001", q.GetPracticeCode())
	}
	require.Len(t, f.events("LoadRecorded"), 7, "the table, two files and four facts")
}

func TestRecordCalls_AreLimitedToTheCommissioner(t *testing.T) {
	t.Parallel()
	f := loaded(t)
	record := func(p auth.Principal, commissioner, organisation string) error {
		_, err := f.client.RecordPopulation(f.as(p), &registerv1.RecordPopulationRequest{
			RequestId: "r/" + commissioner + "/" + organisation, CommissionerCode: commissioner, OrganisationCode: organisation, Kind: typev1.PopulationKind_POPULATION_KIND_WEIGHTED,
			ReferenceDate: "2022-01-01", Value: "4703.5", Source: "test",
		})
		return err
	}
	requireReason(t, record(testkit.Preparer("02Q"), "02Q", "A81001"), fault.NotFound, "ORGANISATION_UNKNOWN")
	requireReason(t, record(testkit.Preparer("02Q"), "02Q", "Z99999"), fault.NotFound, "ORGANISATION_UNKNOWN")
	require.Error(t, record(testkit.Preparer("02Q"), "16C", "A81001"))
	require.Error(t, record(testkit.Preparer("02Q"), "", "A81001"), "national data need England")
	requireReason(t, record(testkit.Operator(), "", "Z99999"), fault.NotFound, "ORGANISATION_UNKNOWN")
	require.NoError(t, record(testkit.Operator(), "", "A81001"))
	require.NoError(t, record(testkit.Preparer("16C"), "16C", "A81001"))
	require.NoError(t, record(testkit.Preparer("QHM"), "QHM", "U89141"), "an ICB acts for the CCGs it follows")
	_, err := f.client.RecordMembership(f.as(testkit.Preparer("16C")), &registerv1.RecordMembershipRequest{
		RequestId: "m", CommissionerCode: "16C", PracticeCode: "A81001", PcnCode: "U00009", EffectiveFrom: "2022-06-01", Source: "test",
	})
	requireReason(t, err, fault.NotFound, "ORGANISATION_UNKNOWN")
	_, err = f.client.RecordMembership(f.as(testkit.Operator()), &registerv1.RecordMembershipRequest{
		RequestId: "m", PracticeCode: "Y00001", PcnCode: "U00009", EffectiveFrom: "2022-06-01", Source: "test",
	})
	requireReason(t, err, fault.NotFound, "ORGANISATION_UNKNOWN")
	before := len(pcn(f.snapshot("", "2022-06-01"), "U89141").GetPractices())
	_, err = f.client.RecordMembership(f.as(testkit.Operator()), &registerv1.RecordMembershipRequest{
		RequestId: "m", PracticeCode: "Y00001", PcnCode: "U89141", EffectiveFrom: "2022-06-01", Source: "test",
	})
	require.NoError(t, err, "England may state a practice that no file shows yet")
	require.Len(t, pcn(f.snapshot("", "2022-06-01"), "U89141").GetPractices(), before+1)
}

func TestRecordCalls_RefuseWrongFigures(t *testing.T) {
	t.Parallel()
	f := loaded(t)
	operator := f.as(testkit.Operator())
	population := func(change func(*registerv1.RecordPopulationRequest)) func(context.Context) error {
		req := &registerv1.RecordPopulationRequest{
			RequestId: "r", OrganisationCode: "A81001", Kind: typev1.PopulationKind_POPULATION_KIND_REGISTERED, ReferenceDate: "2022-01-01", Value: "10", Source: "s",
		}
		change(req)
		return func(ctx context.Context) error { _, err := f.client.RecordPopulation(ctx, req); return err }
	}
	leave := func(notice, from string) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := f.client.RecordParticipation(ctx, &registerv1.RecordParticipationRequest{
				Participating: proto.Bool(false),
				RequestId:     "r", PracticeCode: "A81001", NoticeDate: notice, EffectiveFrom: from, Source: "s",
			})
			return err
		}
	}
	for _, c := range []struct {
		name   string
		call   func(context.Context) error
		kind   fault.Kind
		reason string
	}{
		{"decimals", population(func(r *registerv1.RecordPopulationRequest) { r.Value = "10.5" }), fault.Invalid, "NUMBER_OUT_OF_RANGE"},
		{"words", population(func(r *registerv1.RecordPopulationRequest) { r.Value = "ten" }), fault.Invalid, "NUMBER_MALFORMED"},
		{"negative", population(func(r *registerv1.RecordPopulationRequest) { r.Value = "-1" }), fault.Invalid, "NUMBER_OUT_OF_RANGE"},
		{"30 February", population(func(r *registerv1.RecordPopulationRequest) { r.ReferenceDate = "2022-02-30" }), fault.Invalid, "DATE_MALFORMED"},
		{"thirteenth month", population(func(r *registerv1.RecordPopulationRequest) { r.AppliedFromMonth = "2022-13" }), fault.Invalid, "MONTH_MALFORMED"},
		{"no code", population(func(r *registerv1.RecordPopulationRequest) { r.OrganisationCode = "A8 1001" }), fault.Invalid, "CODE_MALFORMED"},
		{"notice outside every window", leave("2022-07-15", "2022-08-01"), fault.Refused, "OPT_OUT_OUTSIDE_WINDOW"},
		{"no notice", leave("", "2022-08-01"), fault.Invalid, "VALUE_MISSING"},
		{"reversed period", func(ctx context.Context) error {
			_, err := f.client.RecordMembership(ctx, &registerv1.RecordMembershipRequest{
				RequestId: "r", PracticeCode: "A81001", PcnCode: "U89141", EffectiveFrom: "2022-06-01", EffectiveTo: "2022-05-31", Source: "s",
			})
			return err
		}, fault.Invalid, "PERIOD_REVERSED"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			requireReason(t, c.call(operator), c.kind, c.reason)
		})
	}
}

func TestListAuditEntries_ShowsWhatTheCallerMaySee(t *testing.T) {
	t.Parallel()
	f := loaded(t)
	for _, code := range []string{"16C", "02Q"} {
		f.clock.Advance(time.Minute)
		organisation := map[string]string{"16C": "A81001", "02Q": f.snapshot("02Q", "2022-04-01").GetPcns()[0].GetPcnCode()}[code]
		_, err := f.client.RecordPayee(f.as(testkit.Preparer(code)), &registerv1.RecordPayeeRequest{
			RequestId: "p/" + code, CommissionerCode: code, OrganisationCode: organisation, PayeeCode: "A81001", PayeeName: "N", EffectiveFrom: "2022-04-01", Source: "s",
		})
		require.NoError(t, err)
	}
	own, err := f.client.ListAuditEntries(f.as(testkit.Approver("16C")), &registerv1.ListAuditEntriesRequest{CommissionerCode: "16C"})
	require.NoError(t, err)
	require.Len(t, own.GetEntries(), 1)
	entry := own.GetEntries()[0]
	require.Equal(t, "preparer@example.test", entry.GetActor())
	require.Equal(t, "/pcnfunding.register.v1.RegisterService/RecordPayee", entry.GetMethod())
	require.Contains(t, entry.GetSummary(), "payee A81001")
	_, err = f.client.ListAuditEntries(f.as(testkit.Approver("16C")), &registerv1.ListAuditEntriesRequest{CommissionerCode: "02Q"})
	require.Error(t, err)
	_, err = f.client.ListAuditEntries(f.as(testkit.Approver("16C")), &registerv1.ListAuditEntriesRequest{})
	require.Error(t, err)
	var methods []string
	request := &registerv1.ListAuditEntriesRequest{PageSize: 2}
	for {
		page, err := f.client.ListAuditEntries(f.as(testkit.Auditor(auth.England)), request)
		require.NoError(t, err)
		for _, e := range page.GetEntries() {
			methods = append(methods, e.GetMethod())
		}
		if request.PageToken = page.GetNextPageToken(); request.GetPageToken() == "" {
			break
		}
	}
	require.Len(t, methods, 6, "two tables, two files, two payees")
}

func TestQuoteOptOut_AnswersForKnownAndGivenWindows(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	preparer := f.as(testkit.Preparer("16C"))
	windows, err := f.client.ListOptOutWindows(preparer, &registerv1.ListOptOutWindowsRequest{PageSize: 4})
	require.NoError(t, err)
	require.Len(t, windows.GetWindows(), 4)
	rest, err := f.client.ListOptOutWindows(preparer, &registerv1.ListOptOutWindowsRequest{PageToken: windows.GetNextPageToken()})
	require.NoError(t, err)
	require.Len(t, rest.GetWindows(), 2)
	for notice, inside := range map[string]bool{"2020-10-17": true, "2022-07-15": false, "2024-05-01": false} {
		quote, err := f.client.QuoteOptOut(preparer, &registerv1.QuoteOptOutRequest{NoticeDate: notice})
		require.NoError(t, err)
		require.Equal(t, inside, quote.GetInsideWindow(), notice)
		require.Equal(t, inside, quote.GetWindow() != nil)
	}
	given := []*registerv1.OptOutWindow{{Opens: "2022-07-01", Closes: "2022-07-31"}}
	quote, err := f.client.QuoteOptOut(preparer, &registerv1.QuoteOptOutRequest{NoticeDate: "2022-07-15", Windows: given})
	require.NoError(t, err)
	require.True(t, quote.GetInsideWindow())
	given[0].Closes = "2022-06-01"
	_, err = f.client.QuoteOptOut(preparer, &registerv1.QuoteOptOutRequest{NoticeDate: "2022-07-15", Windows: given})
	requireReason(t, err, fault.Invalid, "PERIOD_REVERSED")
	_, err = f.client.QuoteOptOut(preparer, &registerv1.QuoteOptOutRequest{NoticeDate: "2022-02-30"})
	requireReason(t, err, fault.Invalid, "DATE_MALFORMED")
}
