package register_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/register"
)

func (f *fixture) calendar(by auth.Principal, r *registerv1.ListCalendarItemsRequest) []*registerv1.CalendarItem {
	f.t.Helper()
	var out []*registerv1.CalendarItem
	r.PageSize = 10
	for {
		page, err := f.client.ListCalendarItems(f.as(by), r)
		require.NoError(f.t, err)
		out = append(out, page.GetItems()...)
		if r.PageToken = page.GetNextPageToken(); r.GetPageToken() == "" {
			return out
		}
	}
}

func titles(items []*registerv1.CalendarItem) (out []string) {
	for _, item := range items {
		out = append(out, item.GetFallsDue()+" "+item.GetState().String()+" "+item.GetItemId())
	}
	return out
}

func calendarHolds(t *testing.T, f *fixture) {
	require.Equal(t, []string{
		"2022-06-30 OPEN ccg-last-day",
		"2022-07-01 OPEN icb-first-day",
		"2022-07-31 PER_PCN due-" + accessPlan,
		"2022-08-31 OPEN workforce-2022-23-update",
	}, titles(f.calendar(manager, &registerv1.ListCalendarItemsRequest{FromDate: "2022-06-01", ToDate: "2022-08-31"})))
	require.Equal(t, []string{"2022-06-30 LATE ccg-last-day"},
		titles(f.calendar(manager, &registerv1.ListCalendarItemsRequest{State: registerv1.CalendarState_LATE, OnDate: "2022-07-01"})))
	require.Empty(t, titles(f.calendar(manager, &registerv1.ListCalendarItemsRequest{
		State: registerv1.CalendarState_LATE, OnDate: "2022-07-01", OwnerLevel: registerv1.OwnerLevel_PCN_LEVEL,
	})))
	passed := titles(f.calendar(manager, &registerv1.ListCalendarItemsRequest{State: registerv1.CalendarState_PASSED, FromDate: "2020-03-01", ToDate: "2020-04-15"}))
	require.Equal(t, []string{
		"2020-03-05 PASSED planning-2020-21-draft-plans", "2020-03-12 PASSED planning-2020-21-alignment", "2020-03-27 PASSED planning-2020-21-contracts",
		"2020-03-31 PASSED devfund-2019-20-reviews", "2020-03-31 PASSED year-end-2020-03-31", "2020-04-10 PASSED planning-2020-21-arbitration-entry",
		"2020-04-15 PASSED planning-2020-21-arbitration-documents",
	}, passed)
	undated := f.calendar(manager, &registerv1.ListCalendarItemsRequest{State: registerv1.CalendarState_UNDATED})
	require.Len(t, undated, 2)
	for _, item := range undated {
		require.NotEmpty(t, item.GetMissing(), item.GetItemId())
	}
	all := f.calendar(manager, &registerv1.ListCalendarItemsRequest{})
	require.True(t, slices.IsSortedFunc(all[:len(all)-2], func(a, b *registerv1.CalendarItem) int { return strings.Compare(a.GetFallsDue(), b.GetFallsDue()) }))
	one, err := f.client.GetCalendarItem(f.as(manager), &registerv1.GetCalendarItemRequest{ItemId: "due-" + accessPlan})
	require.NoError(t, err)
	require.Equal(t, "requirements/"+accessPlan, one.GetLinkedRecord())
	days, err := f.client.ListBankHolidays(f.as(manager), &registerv1.ListBankHolidaysRequest{Year: 2022})
	require.NoError(t, err)
	require.Len(t, days.GetHolidays(), 10)
	_, err = f.client.ListBankHolidays(f.as(manager), &registerv1.ListBankHolidaysRequest{Year: 2040})
	requireReason(t, err, fault.Refused, "BANK_HOLIDAYS_UNKNOWN")
}

func newItem(id, commissioner string, level registerv1.OwnerLevel, owner, due string) *registerv1.AddCalendarItemRequest {
	return &registerv1.AddCalendarItemRequest{
		RequestId: id, CommissionerCode: commissioner, Title: id, OwnerLevel: level, OwnerCode: owner, DueDate: due, Source: "us",
		Confidence: typev1.Confidence_CONFIDENCE_OFFICIAL,
	}
}

func itemsAreOfTheirOwners(t *testing.T, f *fixture) {
	const body, network = registerv1.OwnerLevel_COMMISSIONER_LEVEL, registerv1.OwnerLevel_PCN_LEVEL
	add := func(by auth.Principal, r *registerv1.AddCalendarItemRequest) *registerv1.CalendarItem {
		t.Helper()
		got, err := f.client.AddCalendarItem(f.as(by), r)
		require.NoError(t, err)
		return got
	}
	board := add(preparer, newItem("board", "16C", body, "16C", "2022-06-02"))
	require.Equal(t, "2022-06-06", board.GetFallsDue(), "the jubilee has two days, then comes a weekend")
	mine := add(manager, newItem("mine", "", network, "U89141", "2022-06-10"))
	require.Equal(t, "16C", mine.GetCommissionerCode())
	every := add(preparer, newItem("every", "16C", network, "", "2022-06-11"))
	early := newItem("early", "16C", network, "U89141", "2022-06-12")
	early.WorkingDayRule, early.LinkedRecord = registerv1.WorkingDayRule_PREVIOUS_WORKING_DAY, "requirements/"+accessPlan
	require.Equal(t, "2022-06-10", add(preparer, early).GetFallsDue())
	for name, c := range map[string]struct {
		by     auth.Principal
		item   *registerv1.AddCalendarItemRequest
		kind   fault.Kind
		reason string
	}{
		"England's":          {preparer, newItem("a", "", body, "", "2022-06-10"), fault.Denied, auth.ReasonEnglandRequired},
		"another's":          {preparer, newItem("b", "84H", body, "", "2022-06-10"), fault.NotFound, auth.ReasonNotFound},
		"another's PCN":      {preparer, newItem("c", "16C", network, "U25545", "2022-06-10"), fault.NotFound, auth.ReasonNotFound},
		"a PCN's for others": {manager, newItem("d", "16C", body, "", "2022-06-10"), fault.NotFound, auth.ReasonNotFound},
		"year not held":      {preparer, newItem("e", "16C", body, "", "2031-06-10"), fault.Refused, "BANK_HOLIDAYS_UNKNOWN"},
		"without a day":      {preparer, newItem("f", "16C", body, "", ""), fault.Invalid, "CALENDAR_DAY_INVALID"},
	} {
		_, err := f.client.AddCalendarItem(f.as(c.by), c.item)
		require.Error(t, err, name)
		requireReason(t, err, c.kind, c.reason)
	}
	shown := func(by auth.Principal) (out []string) {
		for _, item := range f.calendar(by, &registerv1.ListCalendarItemsRequest{FromDate: "2022-06-01", ToDate: "2022-06-29"}) {
			out = append(out, item.GetTitle())
		}
		slices.Sort(out)
		return out
	}
	require.Equal(t, []string{"board", "early", "every", "mine"}, shown(preparer))
	require.Equal(t, []string{"early", "every", "mine"}, shown(manager))
	require.Empty(t, shown(testkit.Preparer("84H")))
	require.Empty(t, shown(testkit.PCNManager("U25545")))

	settle := func(by auth.Principal, item *registerv1.CalendarItem, r *registerv1.SettleCalendarItemRequest) (*registerv1.CalendarItem, error) {
		r.ItemId, r.Etag = item.GetItemId(), item.GetEtag()
		return f.client.SettleCalendarItem(f.as(by), r)
	}
	done := func(id string) *registerv1.SettleCalendarItemRequest {
		return &registerv1.SettleCalendarItemRequest{RequestId: id, State: registerv1.CalendarState_DONE, CompletedDate: "2022-05-10", Evidence: "minute 4"}
	}
	_, err := settle(testkit.Preparer("84H"), board, done("1"))
	requireReason(t, err, fault.NotFound, "CALENDAR_ITEM_NOT_FOUND")
	_, err = settle(manager, every, done("2"))
	requireReason(t, err, fault.Denied, auth.ReasonRoleRequired)
	got, err := settle(manager, mine, done("3"))
	require.NoError(t, err)
	require.Equal(t, registerv1.CalendarState_DONE, got.GetState())
	require.Equal(t, "minute 4", got.GetEvidence())
	require.Len(t, got.GetHistory(), 2)
	_, err = settle(manager, mine, done("4"))
	requireReason(t, err, fault.Stale, "VERSION_CHANGED")
	_, err = settle(manager, got, done("5"))
	requireReason(t, err, fault.Refused, "CALENDAR_STATE_DIFFERS")
	_, err = settle(preparer, board, &registerv1.SettleCalendarItemRequest{RequestId: "6", State: registerv1.CalendarState_CANCELLED})
	requireReason(t, err, fault.Invalid, "REASON_MISSING")
	_, err = settle(preparer, board, &registerv1.SettleCalendarItemRequest{RequestId: "7", State: registerv1.CalendarState_CANCELLED, Reason: "merged"})
	require.NoError(t, err)
	require.Len(t, f.events("CalendarItemChanged"), 6)

	// After the CCG its items are those of the ICB.
	f.clock.Set(time.Date(2022, time.July, 2, 9, 0, 0, 0, time.UTC))
	icb := testkit.Preparer("QHM")
	require.Equal(t, []string{"board", "early", "every", "mine"}, shown(icb))
	_, err = settle(icb, every, &registerv1.SettleCalendarItemRequest{RequestId: "8", State: registerv1.CalendarState_DONE, CompletedDate: "2022-07-01"})
	require.NoError(t, err)
}

// locationsDoNotSeeEachOther holds apart two locations of one ICB: U89141 is in 16C and U25545 in 00L, both of QHM.
func locationsDoNotSeeEachOther(t *testing.T, f *fixture) {
	const body, network = registerv1.OwnerLevel_COMMISSIONER_LEVEL, registerv1.OwnerLevel_PCN_LEVEL
	f.clock.Set(time.Date(2022, time.August, 1, 9, 0, 0, 0, time.UTC))
	icb := testkit.Preparer("QHM")
	for _, item := range []*registerv1.AddCalendarItemRequest{
		newItem("of the ICB", "QHM", body, "", "2022-08-10"), newItem("there", "", network, "U25545", "2022-08-10"), newItem("here", "", network, "U89141", "2022-08-10"),
		newItem("everywhere", "QHM", network, "", "2022-08-10"),
	} {
		_, err := f.client.AddCalendarItem(f.as(icb), item)
		require.NoError(t, err)
	}
	shown := func(by auth.Principal, of string) (out []string) {
		for _, item := range f.calendar(by, &registerv1.ListCalendarItemsRequest{FromDate: "2022-08-02", ToDate: "2022-08-30", CommissionerCode: of}) {
			out = append(out, item.GetTitle())
		}
		slices.Sort(out)
		return out
	}
	require.Equal(t, []string{"everywhere", "here", "of the ICB", "there"}, shown(icb, ""))
	require.Equal(t, []string{"everywhere", "here"}, shown(preparer, ""))
	require.Equal(t, []string{"everywhere", "here"}, shown(testkit.Operator(), "16C"))
	require.Equal(t, []string{"everywhere", "there"}, shown(testkit.Preparer("00L"), ""))
	for _, item := range f.calendar(icb, &registerv1.ListCalendarItemsRequest{FromDate: "2022-08-02", ToDate: "2022-08-30"}) {
		_, err := f.client.SettleCalendarItem(f.as(preparer), &registerv1.SettleCalendarItemRequest{
			RequestId: "settle " + item.GetTitle(), ItemId: item.GetItemId(), Etag: item.GetEtag(), State: registerv1.CalendarState_DONE, CompletedDate: "2022-08-01",
		})
		switch item.GetTitle() {
		case "here":
			require.NoError(t, err)
		case "everywhere":
			requireReason(t, err, fault.Denied, auth.ReasonRoleRequired)
		default:
			requireReason(t, err, fault.NotFound, "CALENDAR_ITEM_NOT_FOUND")
		}
	}
	own, err := f.client.AddCalendarItem(f.as(preparer), newItem("own", "", network, "U89141", "2022-08-12"))
	require.NoError(t, err)
	require.Equal(t, "QHM", own.GetCommissionerCode())
}

// reminded returns the reminders sent since the last call, as subject, owner and moment.
func reminded(t *testing.T, f *fixture, from *int) (out []string) {
	t.Helper()
	require.NoError(t, f.db.Read(t.Context(), func(q sqldb.Querier) error {
		rows, err := q.Query(t.Context(), `SELECT payload, subject FROM outbox WHERE type = $1 ORDER BY position, id`, "pcnfunding.register.v1.CalendarReminder")
		if err != nil {
			return err
		}
		defer rows.Close() //nolint:errcheck // read only
		n := 0
		for rows.Next() {
			var payload []byte
			var subject string
			if err := rows.Scan(&payload, &subject); err != nil {
				return err
			}
			if n++; n <= *from {
				continue
			}
			event := &registerv1.CalendarReminder{}
			if err := proto.Unmarshal(payload, event); err != nil {
				return err
			}
			when := fmt.Sprint(event.GetDaysBefore())
			if event.GetLate() {
				when = "late"
			}
			to := subject[strings.LastIndex(subject, ".")+1:]
			out = append(out, strings.TrimSpace(fmt.Sprintf("%s%s %s %s %s", event.GetItemId(), event.GetRequirementId(), event.GetOwnerCode(), when, to)))
		}
		*from = n
		return rows.Err()
	}))
	slices.Sort(out)
	return out
}

func remindersComeOnce(t *testing.T, f *fixture) {
	from := 0
	run := func(day string) []string {
		t.Helper()
		at, err := time.Parse(time.DateOnly, day)
		require.NoError(t, err)
		f.clock.Set(at.Add(9 * time.Hour))
		for range 2 {
			_, err = f.service.Remind(t.Context())
			require.NoError(t, err)
		}
		return reminded(t, f, &from)
	}
	require.Empty(t, run("2022-05-11"), "what had passed before the register held it is not reminded of")
	require.Equal(t, []string{"ccg-last-day  14 england"}, run("2022-06-16"))
	require.Equal(t, []string{"icb-first-day  14 england"}, run("2022-06-17"))
	require.Empty(t, run("2022-06-18"))
	require.Equal(t, []string{"ccg-last-day  1 england"}, run("2022-06-29"))
	// Nothing runs for two weeks: what is late by then is told once, and what was overtaken not at all.
	var want []string
	for _, to := range []string{"U01315 14 QKS", "U05001 14 QT1", "U10748 14 QT1", "U12169 14 QK1", "U25545 14 QHM", "U62999 14 QWE", "U82487 14 QNQ", "U82499 14 QT1", "U86966 14 QMF", "U89141 14 QHM"} {
		want = append(want, accessPlan+" "+to)
	}
	require.Equal(t, append(want, "ccg-last-day  late england", "icb-first-day  late england"), run("2022-07-17"))
	// What is delivered is not reminded of any more.
	f.steps(accessPlan).take(manager, deliver("2022-07-10"))
	got := run("2022-07-30")
	require.Len(t, got, 9)
	require.NotContains(t, got, accessPlan+" U89141 1 QHM")
	require.Empty(t, run("2022-07-31"))
	require.Len(t, run("2022-08-02"), 9)
	require.Empty(t, run("2022-08-03"))
}

func remindersComeOnceFromMany(t *testing.T, f *fixture) {
	f.clock.Set(time.Date(2022, time.July, 17, 9, 0, 0, 0, time.UTC))
	const processes = 4
	var wait sync.WaitGroup
	for range processes {
		service, err := register.New(t.Context(), register.Deps{DB: f.db})
		require.NoError(t, err)
		wait.Go(func() {
			if _, err := service.Remind(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	from := 0
	got := reminded(t, f, &from)
	require.Len(t, got, 10+2)
	require.Len(t, slices.Compact(slices.Clone(got)), len(got))
}

func TestRun_RemindsAtOnceAndEndsWithItsContext(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.clock.Set(time.Date(2022, time.June, 17, 9, 0, 0, 0, time.UTC))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.service.Run(ctx) }()
	require.Eventually(t, func() bool { return len(f.events("CalendarReminder")) == 2 }, 10*time.Second, 5*time.Millisecond,
		"items are reminded of before any membership is loaded")
	cancel()
	require.NoError(t, <-ended)
}
