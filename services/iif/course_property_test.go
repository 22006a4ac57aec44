package iif_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
)

// walker takes random steps of two PCNs' years in the names of a few people who hold every role, and remembers who did what.
type walker struct {
	*courseSuite
	t    *testing.T
	rand *rand.Rand
	// approved are years as they were when they were approved.
	approved map[string]*iifv1.Achievement
	// counted is who entered the counts that stand of a PCN's practice.
	counted map[string]string
	// log tells what was done, for who has to find out why a walk failed.
	log []string
}

var walkers = []string{"ann@example.test", "bob@example.test", "cat@example.test", "dan@example.test"}

func (w *walker) person() string { return walkers[w.rand.IntN(len(walkers))] }

// everybody is a person with every role for the PCN and the commissioner.
func everybody(person, pcn string) auth.Principal {
	return auth.Principal{
		Subject: person, Commissioners: []string{courseBody}, PCNs: []string{pcn}, Roles: []optionsv1.Role{
			optionsv1.Role_ROLE_PCN_MANAGER, optionsv1.Role_ROLE_FINANCE_PREPARER, optionsv1.Role_ROLE_FINANCE_APPROVER,
		},
	}
}

// step takes one random step. What is refused changes nothing, which is held after it.
func (w *walker) step() {
	pcn, person := []string{coursePCN, courseOthers}[w.rand.IntN(2)], w.person()
	ctx, id := w.as(w.t, everybody(person, pcn)), w.next()
	before := w.get(w.t, pcn)
	seen := before.GetResult().GetResultId()
	if w.rand.IntN(8) == 0 {
		seen = "another"
	}
	var err error
	kind := w.rand.IntN(11)
	if next, known := map[iifv1.AchievementState]int{provider: 0, commissioner: 2, financial: 5}[before.GetState()]; known && w.rand.IntN(2) == 0 {
		if kind = next; kind == 5 && before.GetCommitment() == nil {
			kind = 4
		}
	}
	switch kind {
	case 0, 1:
		_, err = w.iif.DeclareAchievement(ctx, &iifv1.DeclareAchievementRequest{RequestId: id, PcnCode: pcn, FinancialYear: courseYear, ResultId: seen})
	case 2, 3:
		_, err = w.iif.AcceptAchievement(ctx, &iifv1.AcceptAchievementRequest{
			RequestId: id, CommissionerCode: courseBody, PcnCode: pcn, FinancialYear: courseYear, ResultId: seen,
		})
	case 4:
		_, err = w.iif.CommitReinvestment(ctx, &iifv1.CommitReinvestmentRequest{RequestId: id, PcnCode: pcn, FinancialYear: courseYear, Text: "nurses"})
	case 5, 6:
		_, err = w.iif.ApprovePayment(ctx, &iifv1.ApprovePaymentRequest{
			RequestId: id, CommissionerCode: courseBody, PcnCode: pcn, FinancialYear: courseYear, ResultId: seen,
		})
		if err == nil {
			require.NotContains(w.t, append(madeBy(before), w.counted[pcn]), person, "who made a year approved it: %v", w.log)
			require.NotNil(w.t, before.GetCommitment())
			w.approved[pcn] = w.get(w.t, pcn)
		}
	case 7:
		_, err = w.iif.AppealAchievement(ctx, &iifv1.AppealAchievementRequest{RequestId: id, PcnCode: pcn, FinancialYear: courseYear, Reason: "no"})
	case 8:
		_, err = w.iif.DecideAppeal(ctx, &iifv1.DecideAppealRequest{
			RequestId: id, CommissionerCode: courseBody, PcnCode: pcn, FinancialYear: courseYear, Verdict: iifv1.Verdict(1 + w.rand.IntN(2)), Reason: "so",
		})
	case 9:
		practice := map[string]string{coursePCN: "A00001", courseOthers: "A00003"}[pcn]
		n, d := int64(w.rand.IntN(101)), int64(100)
		_, err = w.iif.RecordCounts(ctx, &iifv1.RecordCountsRequest{
			RequestId: id, CommissionerCode: courseBody, OrganisationCode: practice, FinancialYear: courseYear, AchievedOn: courseDay.String(), Reason: "counted",
			Counts: &iifv1.IndicatorCounts{IndicatorCode: "HI-03", Numerator: &iifv1.Count{Value: &n}, Denominator: &iifv1.Count{Value: &d}},
		})
	case 10:
		w.register.change(func(pcns []*registerv1.SnapshotPcn) {
			pcns[0].Practices[1].Participating = w.rand.IntN(2) == 0
		})
		_, err = w.iif.CalculateYear(ctx, &iifv1.CalculateYearRequest{RequestId: id, CommissionerCode: courseBody, FinancialYear: courseYear})
	}
	w.log = append(w.log, fmt.Sprintf("%d %s %s %q", kind, pcn, person, courseReason(err)))
	if err == nil && kind == 9 {
		w.counted[pcn] = person
	}
	w.holds(pcn, before, err)
}

// madeBy returns who declared a year as it stands, appealed or decided an appeal, or entered figures.
func madeBy(year *iifv1.Achievement) []string {
	out := []string{author().Subject, year.GetProvider().GetPerson(), year.GetCommissioner().GetPerson()}
	for _, a := range year.GetAppeals() {
		out = append(out, a.GetPerson(), a.GetDecidedBy())
	}
	return out
}

// holds asserts what holds after every step.
func (w *walker) holds(pcn string, before *iifv1.Achievement, err error) {
	t := w.t
	year := w.get(t, pcn)
	if err != nil {
		require.Empty(t, difference(before, year), "a refusal changed something: %v", w.log)
	}
	for code, then := range w.approved {
		now := w.get(t, code)
		require.Equal(t, approvedYear, now.GetState())
		require.Empty(t, difference(then, now), "an approved year changed: %v", w.log)
	}
	steps := year.GetSteps()
	require.NotEmpty(t, steps)
	require.Equal(t, year.GetState(), steps[len(steps)-1].GetState(), "%v", w.log)
	require.Equal(t, year.GetResult().GetResultId(), steps[len(steps)-1].GetResultId())
	var sum int64
	for _, of := range year.GetResult().GetIndicators() {
		sum += of.GetDue().GetAmountPence()
	}
	require.Equal(t, year.GetResult().GetDuePence(), sum)
	switch year.GetState() {
	case provider, open:
		require.Nil(t, year.GetCommissioner())
		if year.GetState() == open {
			require.Equal(t, iifv1.Verdict_UPHELD, year.GetAppeals()[len(year.GetAppeals())-1].GetVerdict())
		}
	case commissioner:
		require.NotNil(t, year.GetProvider())
	case financial:
		require.NotEqual(t, year.GetProvider().GetPerson(), year.GetCommissioner().GetPerson())
	case appealed:
		require.Empty(t, year.GetAppeals()[len(year.GetAppeals())-1].GetDecidedBy())
	case approvedYear:
		require.NotEqual(t, year.GetCommissioner().GetPerson(), year.GetFinancial().GetPerson())
		require.NotEmpty(t, year.GetPaymentMonth())
	case iifv1.AchievementState_ACHIEVEMENT_STATE_UNSPECIFIED:
		require.Fail(t, "a year without a state")
	}
	require.Equal(t, len(steps), w.rows(t, `outbox WHERE aggregate = $1`, "achievement/"+courseBody+"/2025-26/"+pcn), "every step has its event")
}

// difference tells which parts of two readings of a year differ that a step would change.
func difference(a, b *iifv1.Achievement) string {
	x, y := proto.CloneOf(a), proto.CloneOf(b)
	x.CorrectionPence, y.CorrectionPence = nil, nil
	if proto.Equal(x, y) {
		return ""
	}
	return x.String() + "\n" + y.String()
}

func TestCourse_RandomWalksKeepWhatWasApprovedFromItsMakers(t *testing.T) {
	t.Parallel()
	walks, length := 12, 60
	if n, err := strconv.Atoi(os.Getenv("WALKS")); err == nil {
		walks = n
	}
	for name, openDB := range map[string]func(testing.TB, sqldb.Options) *sqldb.DB{"sqlite": testkit.SQLite, "postgres": testkit.Postgres} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			finished := 0
			for seed := range walks {
				if name == "postgres" && seed >= walks/4 {
					break
				}
				t.Run(strconv.Itoa(seed), func(t *testing.T) {
					clock := testkit.NewClock(time.Date(2026, time.June, 1, 9, 0, 0, 0, time.UTC))
					s := newCourseSuite(t, openDB(t, clockOptions(clock)), clock)
					s.prepare(t)
					s.calculate(t)
					for _, pcn := range []string{coursePCN, courseOthers} {
						s.nominate(t, pcn, walkers[0])
						s.nominate(t, pcn, walkers[1])
					}
					w := &walker{
						courseSuite: s, t: t, rand: rand.New(rand.NewPCG(uint64(seed), 7)),
						approved: make(map[string]*iifv1.Achievement), counted: make(map[string]string),
					}
					for range length {
						w.step()
					}
					finished += len(w.approved)
				})
			}
			require.NotZero(t, finished, "no walk came to an approval")
		})
	}
}
