package core_test

import (
	"cmp"
	"math/big"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/schedule"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	corev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
)

// published is an event as the outbox holds it.
type published struct {
	aggregate string
	event     proto.Message
}

// published returns the events of the outbox, in order.
func (s *suite) published(t *testing.T) (out []published) {
	t.Helper()
	require.NoError(t, s.db.Read(t.Context(), func(q sqldb.Querier) error {
		rows, err := q.Query(t.Context(), `SELECT aggregate, type, payload FROM outbox ORDER BY position`)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var p published
			var name string
			var payload []byte
			if err := rows.Scan(&p.aggregate, &name, &payload); err != nil {
				return err
			}
			kind, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(name))
			if err != nil {
				return err
			}
			p.event = kind.New().Interface()
			if err := proto.Unmarshal(payload, p.event); err != nil {
				return err
			}
			out = append(out, p)
		}
		return rows.Err()
	}))
	return out
}

// believed puts the events of a schedule together as a consumer does, and returns what was stated with it.
func (s *suite) believed(t *testing.T, id string) (*typev1.PaymentSchedule, []*typev1.Entitlement) {
	t.Helper()
	var parts []*typev1.PaymentSchedule
	var stated []*typev1.Entitlement
	for _, p := range s.published(t) {
		switch event := p.event.(type) {
		case *corev1.ScheduleClosed:
			if event.GetSchedule().GetScheduleId() == id {
				require.Empty(t, stated, "the entitlements follow the schedule")
				parts = append(parts, event.GetSchedule())
				require.Equal(t, int32(len(parts)), event.GetPart())
			}
		case *corev1.EntitlementsStated:
			if event.GetScheduleId() == id {
				require.Equal(t, "entitlements/"+event.GetCommissionerCode(), p.aggregate)
				require.LessOrEqual(t, proto.Size(event), schedule.MaxEventBytes+1024)
				stated = append(stated, event.GetEntitlements()...)
			}
		}
	}
	whole, err := schedule.Join(parts)
	require.NoError(t, err)
	return whole, stated
}

func TestCloseMonth_PublishesWhatAConsumerVerifies(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.register.set(snapshotPCN("U1", "15N", "QJK", 41085), snapshotPCN("U2", "15N", "QJK", 9258))
		closed := s.close(t, "15N", "2022-04", "r1")
		whole, stated := s.believed(t, closed.GetScheduleId())
		whole.Refusals, whole.Withheld = closed.GetRefusals(), closed.GetWithheld()
		require.True(t, proto.Equal(closed, whole), "the answer and the event say the same")
		stored, err := s.core.GetSchedule(as(t, testkit.Auditor("*")), &corev1.GetScheduleRequest{ScheduleId: closed.GetScheduleId()})
		require.NoError(t, err)
		require.NoError(t, schedule.Verify(stored, stored.GetLines()), "what is kept hashes to the same")
		type key struct{ pcn, practice, payment string }
		entitled := make(map[key]*typev1.Entitlement)
		for i, e := range stated {
			entitled[key{e.GetPcnCode(), e.GetPracticeCode(), e.GetPaymentCode()}] = e
			require.True(t, i == 0 || cmp.Compare(stated[i-1].GetPcnCode(), e.GetPcnCode()) <= 0)
		}
		require.Len(t, stated, len(whole.GetLines()), "one for each line of the first close")
		require.Len(t, entitled, len(stated))
		for _, line := range whole.GetLines() {
			requireGrounds(t, line)
			e := entitled[key{line.GetPcnCode(), line.GetPracticeCode(), line.GetPaymentCode()}]
			require.Equal(t, line.GetFundingSource(), e.GetFundingSource())
			require.Equal(t, line.GetLocationCode(), e.GetLocationCode())
			require.Equal(t, line.GetConfidence(), e.GetConfidence())
			require.Equal(t, line.GetBasis().GetInstalments(), e.GetInstalments())
			months := line.GetAmountPence() * int64(e.GetInstalments())
			assert.LessOrEqual(t, max(months-e.GetAmountPence(), e.GetAmountPence()-months), int64(e.GetInstalments()/2), "half a penny a month")
		}
		core := entitled[key{"U1", "", "CORE_PCN"}]
		require.Equal(t, int64(6162750), core.GetAmountPence(), "1.50 × 41,085")
		require.Equal(t, "2022-04", core.GetFromMonth())
		require.Equal(t, "2023-03", core.GetToMonth())
		require.Equal(t, "Network U1", core.GetPcnName())
	})
}

// requireGrounds holds that rate × quantity ÷ instalments of a line that adjusts nothing is its amount.
func requireGrounds(t *testing.T, line *typev1.PaymentLine) {
	t.Helper()
	basis := line.GetBasis()
	require.NotEmpty(t, basis.GetFactors())
	require.Equal(t, "PCN_ANNUAL", basis.GetConvention())
	require.NotEmpty(t, basis.GetClause())
	sum := new(big.Rat)
	for _, f := range basis.GetFactors() {
		rate, err := money.ParseExact(f.GetRateGbp())
		require.NoError(t, err)
		quantity, err := money.ParseExact(f.GetQuantity())
		require.NoError(t, err)
		sum.Add(sum, rate.Mul(rate, quantity))
		for _, text := range []string{f.GetPer(), f.GetUnit(), f.GetRateId(), f.GetSource(), f.GetClause()} {
			require.NotEmpty(t, text)
		}
		require.NotZero(t, f.GetConfidence())
	}
	amount, err := money.RoundHalfUp(sum.Quo(sum, big.NewRat(int64(basis.GetInstalments()), 1)))
	require.NoError(t, err)
	require.Equal(t, line.GetAmountPence(), int64(amount))
}

func TestCloseMonth_GroundsAnAdjustmentOnWhatIsNowRight(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.register.set(snapshotPCN("U1", "15N", "QJK", 41085))
		s.close(t, "15N", "2022-04", "r1")
		s.register.set(snapshotPCN("U1", "15N", "QJK", 41095))
		may := s.close(t, "15N", "2022-05", "r2")
		whole, stated := s.believed(t, may.GetScheduleId())
		adjusted := 0
		for _, line := range whole.GetLines() {
			if line.GetForMonth() == "2022-04" && line.GetPaymentCode() == "CORE_PCN" {
				adjusted++
				require.Equal(t, int64(125), line.GetAmountPence())
				require.Equal(t, "41095", line.GetBasis().GetFactors()[0].GetQuantity())
			}
		}
		require.Equal(t, 1, adjusted)
		for _, e := range stated {
			if e.GetPaymentCode() == "CORE_PCN" {
				require.Equal(t, int64(6164250), e.GetAmountPence(), "1.50 × 41,095")
			}
		}
		require.Len(t, stated, 5, "of the month itself, and not of April again")
	})
}

func TestCloseMonth_SplitsLargeEvents(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		pcns := make([]*registerv1.SnapshotPcn, 800)
		for i := range pcns {
			pcns[i] = snapshotPCN("U"+string(rune('A'+i/100))+string(rune('0'+i/10%10))+string(rune('0'+i%10)), "15N", "QJK", 1000+int64(i))
		}
		s.register.set(pcns...)
		closed := s.close(t, "15N", "2022-04", "r1")
		require.Len(t, closed.GetLines(), 4000)
		whole, stated := s.believed(t, closed.GetScheduleId())
		require.Len(t, whole.GetLines(), 4000)
		require.Len(t, stated, 4000)
		events := s.published(t)
		require.Greater(t, len(events), 3)
		again, err := s.core.ReemitSchedule(as(t, testkit.Operator()), &corev1.ReemitScheduleRequest{RequestId: "e", ScheduleId: closed.GetScheduleId()})
		require.NoError(t, err)
		require.Len(t, again.GetEventIds(), len(events), "the statements come again with the schedule")
	})
}
