package iif_test

import (
	"context"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	"github.com/pcnfunding/pcnfunding/pkg/schedule"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/iif"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/store"
)

// closeRegister gives one picture for every day, cut for the body that asks. A CCG has none from icbFrom on; a system that owes nothing
// has an empty one.
type closeRegister struct {
	registerv1.RegisterServiceClient

	mu   sync.Mutex
	pcns []*registerv1.SnapshotPcn
	// icbFrom is the day from which the system of a PCN pays in place of its CCG; empty means never. The system owes what the CCG owed
	// before.
	icbFrom string
	// moved is the payer of a PCN, and its system, from movedFrom on, which has taken over no debt.
	movedFrom string
	moved     map[string]string
	// since are the payees of PCNs from movedFrom on.
	since map[string]string
	asked []string // body and day asked for
}

func (r *closeRegister) set(pcns ...*registerv1.SnapshotPcn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pcns, r.asked = pcns, nil
}

func (r *closeRegister) questions() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked
}

func (r *closeRegister) GetSnapshot(ctx context.Context, req *registerv1.GetSnapshotRequest, _ ...grpc.CallOption) (*registerv1.Snapshot, error) {
	if by, _ := auth.From(ctx); !by.HoldsCommissioner(req.GetCommissionerCode()) {
		return nil, rpc.Status(fault.New(fault.NotFound, auth.ReasonNotFound, "there is no such thing")).Err()
	}
	return r.picture(req.GetCommissionerCode(), req.GetMembershipDate())
}

// picture cuts a picture for a body, or of England.
func (r *closeRegister) picture(code, day string) (*registerv1.Snapshot, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, code+" "+day)
	out := &registerv1.Snapshot{SnapshotId: "picture-" + code + "-" + day, CommissionerCode: code, CommissionerName: "Body " + code}
	for _, p := range r.pcns {
		network := proto.CloneOf(p)
		if r.icbFrom != "" && day >= r.icbFrom {
			network.PayerCode = network.GetSystemCode()
		}
		if payer := r.moved[p.GetPcnCode()]; payer != "" && day >= r.movedFrom {
			network.PayerCode, network.SystemCode = payer, payer
		}
		if payee := r.since[p.GetPcnCode()]; payee != "" && day >= r.movedFrom {
			network.Payee = &typev1.Payee{Code: payee, Name: "Payee " + payee}
		}
		network.Owed = code == "" || network.GetPayerCode() == code || (r.icbFrom != "" && network.GetSystemCode() == code)
		if network.GetOwed() {
			out.Pcns = append(out.Pcns, network)
		}
	}
	ended := r.icbFrom != "" && day >= r.icbFrom && !slices.ContainsFunc(r.pcns, func(p *registerv1.SnapshotPcn) bool { return p.GetSystemCode() == code })
	if len(out.GetPcns()) == 0 && ended {
		return nil, rpc.Status(fault.New(fault.Refused, "COMMISSIONER_NOT_IN_FORCE", "%s owes nothing", code)).Err()
	}
	return out, nil
}

// ListCommissioners lists the payers of a day to everybody.
func (r *closeRegister) ListCommissioners(_ context.Context, req *registerv1.ListCommissionersRequest, _ ...grpc.CallOption) (*registerv1.ListCommissionersResponse, error) {
	england, err := r.picture("", req.GetOnDate())
	if err != nil {
		return nil, err
	}
	out := new(registerv1.ListCommissionersResponse)
	for _, p := range england.GetPcns() {
		if req.GetPageToken() == "" || p.GetPayerCode() > req.GetPageToken() {
			out.Commissioners = append(out.Commissioners, &registerv1.Commissioner{CommissionerCode: p.GetPayerCode()})
		}
	}
	slices.SortFunc(out.GetCommissioners(), func(a, b *registerv1.Commissioner) int {
		return strings.Compare(a.GetCommissionerCode(), b.GetCommissionerCode())
	})
	if len(out.GetCommissioners()) > 1 { // pages of one
		out.Commissioners, out.NextPageToken = out.GetCommissioners()[:1], out.GetCommissioners()[0].GetCommissionerCode()
	}
	return out, nil
}

// GetPcnSnapshot gives the picture of a PCN's payer to those who may see the PCN there.
func (r *closeRegister) GetPcnSnapshot(ctx context.Context, req *registerv1.GetPcnSnapshotRequest, _ ...grpc.CallOption) (*registerv1.Snapshot, error) {
	england, err := r.picture("", req.GetMembershipDate())
	if err != nil {
		return nil, err
	}
	by, _ := auth.From(ctx)
	for _, p := range england.GetPcns() {
		if p.GetPcnCode() == req.GetPcnCode() && by.MaySee(p.GetPayerCode(), p.GetPcnCode()) {
			return r.picture(p.GetPayerCode(), req.GetMembershipDate())
		}
	}
	return nil, rpc.Status(fault.New(fault.NotFound, auth.ReasonNotFound, "there is no PCN %s", req.GetPcnCode())).Err()
}

func closePCN(code, payer, system string) *registerv1.SnapshotPcn {
	return &registerv1.SnapshotPcn{
		PcnCode: code, Name: "Network " + code, PayerCode: payer, SystemCode: system, LocationCode: "L" + payer,
		Payee: &typev1.Payee{Code: "P" + code, Name: "Payee of " + code},
	}
}

// unpaidPCN is one whose payee is not recorded.
func unpaidPCN(code, payer, system string) *registerv1.SnapshotPcn {
	out := closePCN(code, payer, system)
	out.Payee = nil
	return out
}

// closeSuite is iif over a database, with a register of the test's, and approved years that were put there by hand.
type closeSuite struct {
	iif      iifv1.IifServiceClient
	register *closeRegister
	db       *sqldb.DB

	mu sync.Mutex
	// years are what the years come to, by the position of the last figure that they knew.
	years    map[int64]*rules.Year
	requests int
}

func newCloseSuite(t testing.TB, db *sqldb.DB) *closeSuite {
	t.Helper()
	require.NoError(t, db.Migrate(t.Context(), iif.Migrations()))
	s := &closeSuite{register: new(closeRegister), db: db, years: make(map[int64]*rules.Year)}
	service, err := iif.New(t.Context(), iif.Deps{DB: db, Register: s.register, Logger: testkit.Logger(t)})
	require.NoError(t, err)
	iif.CalculateFrom(service, func(pcn string, year period.FinancialYear, figures int64) *rules.Year {
		s.mu.Lock()
		defer s.mu.Unlock()
		if out := s.years[figures]; out != nil && out.PCN == pcn {
			return out
		}
		panic(fmt.Sprintf("nothing is known of %s of %s with figure %d", year, pcn, figures))
	})
	s.iif = iifv1.NewIifServiceClient(testkit.Serve(t, service.Register))
	return s
}

// eachClose runs a test on both databases.
func eachClose(t *testing.T, test func(t *testing.T, s *closeSuite)) {
	t.Helper()
	t.Parallel()
	testkit.Databases(t, func(t *testing.T, open func(t *testing.T) *sqldb.DB) {
		t.Helper()
		test(t, newCloseSuite(t, open(t)))
	})
}

func (s *closeSuite) next() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	return "r" + strconv.Itoa(s.requests)
}

// amounts are pence by indicator.
type amounts map[string]int64

// yearOf is a year that comes to some amounts, as rules work it out.
func yearOf(pcn string, due amounts, codes ...string) *rules.Year {
	out := &rules.Year{PCN: pcn}
	for _, code := range codes {
		b := new(working.Builder)
		points := b.Input("points earned", big.NewRat(due[code], 20000), "points", working.Origin{Kind: working.FromDeclaration, Ref: code, Confidence: working.Official})
		price := b.Input("GBP_per_point", big.NewRat(200, 1), "GBP", working.Origin{Kind: working.FromRate, Ref: "price", Confidence: working.Secondary})
		exact := b.Step("payment before rounding", working.Multiply, "GBP", "IIF: points × price", points, price)
		b.Round("payment", money.HalfUp, 2, "GBP", "IIF: rounded", exact)
		amount := money.Pence(due[code])
		out.Results = append(out.Results, rules.Result{Code: code, Due: rules.Payment{Amount: amount, Working: b.Done()}})
		out.Due += amount
	}
	return out
}

// indicators of the tests, in the order of their year.
var indicators = []string{"HI-03", "CAN-02", "ACC-08"}

// result puts what a year comes to there and returns its identifier.
func (s *closeSuite) result(ctx context.Context, tx *sqldb.Tx, pcn, commissioner string, year period.FinancialYear, out *rules.Year) (string, error) {
	s.mu.Lock()
	position := int64(len(s.years) + 1)
	s.years[position] = out
	s.mu.Unlock()
	id := "result-" + strconv.FormatInt(position, 10)
	body, err := sqldb.Marshal(&iifv1.YearResult{
		ResultId: id, PcnCode: pcn, PcnName: "Network " + pcn, CommissionerCode: commissioner, FinancialYear: strings.Replace(year.String(), "/", "-", 1),
		AchievedOn: year.Last().Last().String(), ListSize: "50000.5", ListKind: iifv1.ListKind_REGISTERED, ListDate: year.ListDate().String(),
		SnapshotId: "picture", PracticeCodes: []string{"A1"}, FiguresPosition: position, DuePence: int64(out.Due), Whole: true,
	})
	if err != nil {
		return "", err
	}
	_, err = tx.Exec(ctx, `INSERT INTO results (result_id, pcn_code, financial_year, commissioner_code, basis, digest, due_pence, whole, worked_by, worked_at)
		VALUES ($1, $2, $3, $4, $5, $1, $6, true, 'suite', 1)`, id, pcn, year.String(), commissioner, body, int64(out.Due))
	return id, err
}

// approved is a year whose money was approved.
type approved struct {
	pcn, commissioner string
	year              period.FinancialYear // 2023/24 unless given
	month             string               // 2024-06 unless given
	due               amounts
}

// approve puts years there as their approval leaves them.
func (s *closeSuite) approve(t require.TestingT, all ...approved) {
	ctx := context.Background()
	require.NoError(t, s.db.Write(ctx, func(tx *sqldb.Tx) error {
		for _, a := range all {
			if err := s.putYear(ctx, tx, a); err != nil {
				return err
			}
		}
		return nil
	}))
}

func (s *closeSuite) putYear(ctx context.Context, tx *sqldb.Tx, a approved) error {
	if a.year == 0 {
		a.year = 2023
	}
	if a.month == "" {
		a.month = "2024-06"
	}
	id, err := s.result(ctx, tx, a.pcn, a.commissioner, a.year, yearOf(a.pcn, a.due, indicators...))
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO achievements (pcn_code, financial_year, commissioner_code, pcn_name, location_code, state, course, result_id, payment_month, version)
		VALUES ($1, $2, $3, $4, $5, 6, $6, $7, $8, 5)`,
		a.pcn, a.year.String(), a.commissioner, "Network "+a.pcn, "L"+a.commissioner, []byte{}, id, a.month)
	return err
}

// correct puts an approved correction of a year there: what it comes to now, less what was paid of it.
func (s *closeSuite) correct(t require.TestingT, id, month string, a approved, paid ...rules.Paid) {
	if a.year == 0 {
		a.year = 2023
	}
	ctx := context.Background()
	now := yearOf(a.pcn, a.due, indicators...)
	differences, err := rules.Correct(now, paid)
	require.NoError(t, err)
	kept, amount := new(iifv1.Correction), money.Pence(0)
	for i := range differences {
		d := &differences[i]
		amount += d.Amount
		kept.Lines = append(kept.Lines, &iifv1.CorrectionLine{
			IndicatorCode: d.Code, BeforePence: int64(d.Before), AfterPence: int64(d.After), AmountPence: int64(d.Amount), AdjustsLineId: d.LineID,
			Working: working.ToProto(d.Working),
		})
	}
	body, err := sqldb.Marshal(kept)
	require.NoError(t, err)
	require.NoError(t, s.db.Write(ctx, func(tx *sqldb.Tx) error {
		result, err := s.result(ctx, tx, a.pcn, a.commissioner, a.year, now)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO corrections (correction_id, pcn_code, financial_year, commissioner_code, state, result_id, lines, amount_pence, reason,
			proposed_by, proposed_at, decided_by, decided_at, payment_month, version) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'counts amended', 'preparer', 1, 'approver', $9, $10, 2)`,
			id, a.pcn, a.year.String(), a.commissioner, int64(store.CorrectionApproved), result, body, int64(amount), sqldb.Micros(tx.Now()), month)
		return err
	}))
}

// paid returns what schedules hold of a PCN's year, by indicator.
func (s *closeSuite) paid(t require.TestingT, pcn string, year period.FinancialYear) []rules.Paid {
	byCode := make(map[string]*rules.Paid)
	require.NoError(t, s.db.Read(context.Background(), func(q sqldb.Querier) error {
		rows, err := store.LinesSince(context.Background(), q, []string{pcn}, year)
		for _, row := range rows {
			if row.Year != year {
				continue
			}
			code := row.Message.GetSourceItem()
			if byCode[code] == nil {
				byCode[code] = &rules.Paid{Code: code}
			}
			byCode[code].Amount += money.Pence(row.Message.GetAmountPence())
			byCode[code].LineID = row.Message.GetLineId()
		}
		return err
	}))
	var out []rules.Paid
	for _, code := range indicators {
		if byCode[code] != nil {
			out = append(out, *byCode[code])
		}
	}
	return out
}

func (s *closeSuite) close(t testing.TB, commissioner, month string) *typev1.PaymentSchedule {
	t.Helper()
	return s.closeAs(t, testkit.Preparer("*"), commissioner, month)
}

func (s *closeSuite) closeAs(t testing.TB, by auth.Principal, commissioner, month string) *typev1.PaymentSchedule {
	t.Helper()
	closed, err := s.iif.CloseMonth(testkit.As(t.Context(), by), &iifv1.CloseMonthRequest{
		RequestId: s.next(), CommissionerCode: commissioner, Month: month,
	})
	require.NoError(t, err)
	require.NoError(t, schedule.Verify(closed, closed.GetLines()))
	s.proveWorkings(t, closed.GetScheduleId())
	return closed
}

// proveWorkings checks that each line of a schedule is explained to the penny.
func (s *closeSuite) proveWorkings(t testing.TB, id string) {
	t.Helper()
	found, err := s.iif.GetSchedule(testkit.As(t.Context(), testkit.Auditor("*")), &iifv1.GetScheduleRequest{ScheduleId: id, IncludeWorking: true})
	require.NoError(t, err)
	for _, line := range found.GetLines() {
		steps, err := working.FromProto(line.GetWorking())
		require.NoError(t, err)
		result, err := working.Evaluate(steps)
		require.NoError(t, err)
		require.Zero(t, result.Cmp(money.Pence(line.GetAmountPence()).GBP()))
	}
}

func (s *closeSuite) count(t testing.TB, query string, args ...any) (n int64) {
	t.Helper()
	require.NoError(t, s.db.Read(t.Context(), func(q sqldb.Querier) error { return q.QueryRow(t.Context(), query, args...).Scan(&n) }))
	return n
}

func closeReason(err error) string {
	f := rpc.FaultFromStatus(status.Convert(err))
	if f == nil {
		return ""
	}
	return f.Reason
}

// lineSays is what a line says, in one phrase.
func lineSays(l *typev1.PaymentLine) string {
	return strings.Join([]string{l.GetPcnCode(), l.GetSourceItem(), l.GetForMonth(), strconv.FormatInt(l.GetAmountPence(), 10)}, " ")
}

func lineTexts(s *typev1.PaymentSchedule) []string {
	out := make([]string, len(s.GetLines()))
	for i, line := range s.GetLines() {
		out[i] = lineSays(line)
	}
	return out
}

// lineOf returns the line of a schedule that says something.
func lineOf(t testing.TB, s *typev1.PaymentSchedule, says string) *typev1.PaymentLine {
	t.Helper()
	for _, line := range s.GetLines() {
		if lineSays(line) == says {
			return line
		}
	}
	require.Fail(t, "no line says "+says, lineTexts(s))
	return nil
}
