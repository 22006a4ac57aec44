package schedule_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/schedule"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
)

func line(id string, pence int64) *typev1.PaymentLine {
	return &typev1.PaymentLine{
		LineId: id, ForMonth: "2022-04", PaymentCode: "CORE_PCN", PcnCode: "U12345", PcnName: "Example PCN", AmountPence: pence,
		Payee: &typev1.Payee{Code: "L83001", Name: "Example Surgery"}, FundingSource: "core", LocationCode: "15N",
		Instruction: typev1.Instruction_INSTRUCTION_PAY, Confidence: typev1.Confidence_CONFIDENCE_OFFICIAL,
	}
}

// sealed returns the header that a fund would write for lines.
func sealed(t require.TestingT, lines ...*typev1.PaymentLine) *typev1.PaymentSchedule {
	pay, reconcile, err := schedule.Totals(lines)
	require.NoError(t, err)
	hash, err := schedule.Hash(lines)
	require.NoError(t, err)
	return &typev1.PaymentSchedule{
		ScheduleId: "core-15N-2022-04-1", Fund: typev1.Fund_FUND_CORE, CommissionerCode: "15N", Month: "2022-04", Sequence: 1,
		LineCount: int32(len(lines)), PayTotalPence: int64(pay), ReconcileTotalPence: int64(reconcile), LinesSha256: hash,
	}
}

func TestHash_IsOfLengthAndBytes(t *testing.T) {
	t.Parallel()
	empty, err := schedule.Hash(nil)
	require.NoError(t, err)
	assert.Equal(t, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", empty)
	// The bytes 05, then 0a 01 'a' for line_id and 58 01 for amount_pence, hashed by another program.
	known, err := schedule.Hash([]*typev1.PaymentLine{{LineId: "a", AmountPence: 1}})
	require.NoError(t, err)
	assert.Equal(t, "31d86df6b3629eac8e91a70c960dc7164de08d6d724c460b0a32258f99096c8e", known)
	_, err = schedule.Hash([]*typev1.PaymentLine{{LineId: "\xff"}})
	require.Error(t, err)
}

func TestVerify_NamesWhatDiffers(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		change func(header *typev1.PaymentSchedule, lines []*typev1.PaymentLine) []*typev1.PaymentLine
		reason string
		meta   map[string]string
	}{
		"a line is missing": {
			func(_ *typev1.PaymentSchedule, lines []*typev1.PaymentLine) []*typev1.PaymentLine { return lines[:2] },
			schedule.ReasonCountDiffers,
			map[string]string{"lines": "2", "line_count": "3"},
		},
		"the count is another": {
			func(header *typev1.PaymentSchedule, lines []*typev1.PaymentLine) []*typev1.PaymentLine {
				header.LineCount = -3
				return lines
			}, schedule.ReasonCountDiffers, map[string]string{"lines": "3", "line_count": "-3"},
		},
		"an amount is another": {
			func(_ *typev1.PaymentSchedule, lines []*typev1.PaymentLine) []*typev1.PaymentLine {
				lines[0].AmountPence++
				return lines
			}, schedule.ReasonSumDiffers, map[string]string{"pay_pence": "201", "pay_total_pence": "200"},
		},
		"amounts balance": {
			func(_ *typev1.PaymentSchedule, lines []*typev1.PaymentLine) []*typev1.PaymentLine {
				lines[0].AmountPence, lines[1].AmountPence = lines[0].GetAmountPence()+1, lines[1].GetAmountPence()-1
				return lines
			}, schedule.ReasonHashDiffers, nil,
		},
		"the sums overflow": {
			func(_ *typev1.PaymentSchedule, lines []*typev1.PaymentLine) []*typev1.PaymentLine {
				lines[0].AmountPence, lines[1].AmountPence = math.MaxInt64, math.MaxInt64
				return lines
			}, schedule.ReasonSumDiffers, nil,
		},
		"an instruction is another": {
			func(_ *typev1.PaymentSchedule, lines []*typev1.PaymentLine) []*typev1.PaymentLine {
				lines[1].Instruction = typev1.Instruction_INSTRUCTION_RECONCILE_ONLY
				return lines
			}, schedule.ReasonSumDiffers, map[string]string{"reconcile_pence": "250", "reconcile_total_pence": "-50"},
		},
		"an instruction is missing": {
			func(_ *typev1.PaymentSchedule, lines []*typev1.PaymentLine) []*typev1.PaymentLine {
				lines[1].Instruction = 0
				return lines
			}, schedule.ReasonLineInvalid, map[string]string{"line_id": "b", "line": "2"},
		},
		"an instruction is not known": {
			func(_ *typev1.PaymentSchedule, lines []*typev1.PaymentLine) []*typev1.PaymentLine {
				lines[1].Instruction = 3
				return lines
			}, schedule.ReasonLineInvalid, map[string]string{"instruction": "3"},
		},
		"an amount is nothing": {
			func(_ *typev1.PaymentSchedule, lines []*typev1.PaymentLine) []*typev1.PaymentLine {
				lines[0].AmountPence = 0
				return lines
			}, schedule.ReasonLineInvalid, map[string]string{"line_id": "a"},
		},
		"a line has no identifier": {
			func(_ *typev1.PaymentSchedule, lines []*typev1.PaymentLine) []*typev1.PaymentLine {
				lines[0].LineId = ""
				return lines
			}, schedule.ReasonLineInvalid, map[string]string{"line": "1"},
		},
		"a month is malformed": {
			func(_ *typev1.PaymentSchedule, lines []*typev1.PaymentLine) []*typev1.PaymentLine {
				lines[0].ForMonth = "2022-13"
				return lines
			}, schedule.ReasonLineInvalid, map[string]string{"for_month": "2022-13"},
		},
		"a month is to come": {
			func(_ *typev1.PaymentSchedule, lines []*typev1.PaymentLine) []*typev1.PaymentLine {
				lines[0].ForMonth = "2022-05"
				return lines
			}, schedule.ReasonLineInvalid, map[string]string{"for_month": "2022-05", "month": "2022-04"},
		},
		"the schedule has no month": {
			func(header *typev1.PaymentSchedule, lines []*typev1.PaymentLine) []*typev1.PaymentLine {
				header.Month = "April"
				return lines
			}, schedule.ReasonHeaderInvalid, map[string]string{"month": "April"},
		},
		"lines are in another order": {
			func(_ *typev1.PaymentSchedule, lines []*typev1.PaymentLine) []*typev1.PaymentLine {
				lines[0], lines[1] = lines[1], lines[0]
				return lines
			}, schedule.ReasonLineOrder, map[string]string{"line_id": "a", "line_before": "b"},
		},
		"a text is not UTF-8": {
			func(_ *typev1.PaymentSchedule, lines []*typev1.PaymentLine) []*typev1.PaymentLine {
				lines[0].PcnName = "\xff"
				return lines
			}, schedule.ReasonLineInvalid, nil,
		},
		"the hash is in capitals": {
			func(header *typev1.PaymentSchedule, lines []*typev1.PaymentLine) []*typev1.PaymentLine {
				header.LinesSha256 = strings.ToUpper(header.GetLinesSha256())
				return lines
			}, schedule.ReasonHashDiffers, nil,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lines := []*typev1.PaymentLine{line("a", -100), line("b", 300), line("c", -50)}
			lines[2].Instruction = typev1.Instruction_INSTRUCTION_RECONCILE_ONLY
			header := sealed(t, lines...)
			require.NoError(t, schedule.Verify(header, lines))
			f, ok := fault.As(schedule.Verify(header, c.change(header, lines)))
			if assert.True(t, ok) {
				assert.Equal(t, fault.Refused, f.Kind)
				assert.Equal(t, c.reason, f.Reason)
				assert.Equal(t, "core-15N-2022-04-1", f.Meta["schedule_id"])
				for key, value := range c.meta {
					assert.Equal(t, value, f.Meta[key], key)
				}
			}
		})
	}
}

func TestVerify_TakesAScheduleWithoutLines(t *testing.T) {
	t.Parallel()
	require.NoError(t, schedule.Verify(sealed(t), nil))
}

// drawLines draws lines as funds write them, in order of line id.
func drawLines(t *rapid.T) []*typev1.PaymentLine {
	lines := make([]*typev1.PaymentLine, rapid.IntRange(1, 8).Draw(t, "lines"))
	for i := range lines {
		pence := rapid.Int64Range(1, 1e9).Draw(t, "pence")
		if rapid.Bool().Draw(t, "negative") {
			pence = -pence
		}
		lines[i] = line(fmt.Sprintf("core-%04d", i), pence)
		lines[i].Instruction = typev1.Instruction(rapid.Int32Range(1, 2).Draw(t, "instruction"))
		lines[i].ForMonth = rapid.SampledFrom([]string{"2021-12", "2022-03", "2022-04"}).Draw(t, "for month")
		if rapid.Bool().Draw(t, "held") {
			lines[i].Payee, lines[i].Holds = nil, []*typev1.Hold{{Reason: "PAYEE_NOT_RECORDED", Remedy: "record it"}}
		}
	}
	return lines
}

// mutate changes one thing of a message, whatever the field holds.
func mutate(t *rapid.T, message protoreflect.Message) {
	fields := message.Descriptor().Fields()
	field := fields.Get(rapid.IntRange(0, fields.Len()-1).Draw(t, "field"))
	switch {
	case field.IsList():
		list := message.Mutable(field).List()
		if list.Len() > 0 && rapid.Bool().Draw(t, "cut") {
			list.Truncate(list.Len() - 1)
			return
		}
		if field.Message() == nil {
			list.Append(scalar(t, field, protoreflect.Value{}))
			return
		}
		list.Append(list.NewElement())
	case field.Message() != nil:
		if message.Has(field) && rapid.Bool().Draw(t, "clear") {
			message.Clear(field)
			return
		}
		mutate(t, message.Mutable(field).Message())
	default:
		message.Set(field, scalar(t, field, message.Get(field)))
	}
}

func scalar(t *rapid.T, field protoreflect.FieldDescriptor, was protoreflect.Value) protoreflect.Value {
	switch field.Kind() {
	case protoreflect.StringKind:
		text := ""
		if was.IsValid() {
			text = was.String()
		}
		return protoreflect.ValueOfString(text + rapid.SampledFrom([]string{"0", " ", "é"}).Draw(t, "suffix"))
	case protoreflect.EnumKind:
		number := protoreflect.EnumNumber(0)
		if was.IsValid() {
			number = was.Enum()
		}
		return protoreflect.ValueOfEnum(number + protoreflect.EnumNumber(rapid.Int32Range(1, 3).Draw(t, "enum")))
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(was.Int() + rapid.Int64Range(1, math.MaxInt64).Draw(t, "int64"))
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(int32(was.Int()) + rapid.Int32Range(1, math.MaxInt32).Draw(t, "int32"))
	default:
		t.Fatalf("%s is of kind %s", field.FullName(), field.Kind())
		return was
	}
}

func TestVerify_RefusesAnyOneChange(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		lines := drawLines(t)
		header := sealed(t, lines...)
		require.NoError(t, schedule.Verify(header, lines))
		i := rapid.IntRange(0, len(lines)-1).Draw(t, "line")
		want := ""
		switch kind := rapid.SampledFrom([]string{"drop", "duplicate", "swap", "amount", "instruction", "payee", "field"}).Draw(t, "change"); kind {
		case "drop":
			lines, want = append(lines[:i:i], lines[i+1:]...), schedule.ReasonCountDiffers
		case "duplicate":
			lines, want = append(lines[:i:i], append([]*typev1.PaymentLine{lines[i]}, lines[i:]...)...), schedule.ReasonLineOrder
		case "swap":
			j := rapid.IntRange(0, len(lines)-1).Draw(t, "other")
			if i == j {
				t.Skip("the same line")
			}
			lines[i], lines[j] = lines[j], lines[i]
			want = schedule.ReasonLineOrder
		case "amount":
			lines[i].AmountPence += rapid.Int64Range(1, 100).Draw(t, "by")
			if want = schedule.ReasonSumDiffers; lines[i].GetAmountPence() == 0 {
				want = schedule.ReasonLineInvalid
			}
		case "instruction":
			lines[i].Instruction = 3 - lines[i].GetInstruction()
			want = schedule.ReasonSumDiffers
		case "payee":
			lines[i].Payee = &typev1.Payee{Code: "L83002", Name: lines[i].GetPayee().GetName()}
			want = schedule.ReasonHashDiffers
		default:
			mutate(t, lines[i].ProtoReflect())
		}
		f, ok := fault.As(schedule.Verify(header, lines))
		require.True(t, ok, "the change was not seen")
		require.Equal(t, fault.Refused, f.Kind)
		if want != "" {
			require.Equal(t, want, f.Reason)
		}
	})
}

func TestSplit_JoinsToTheSameSchedule(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		lines := drawLines(t)
		bound := rapid.IntRange(1, 1000).Draw(t, "bound")
		split := schedule.Split(lines, bound)
		parts := make([]*typev1.PaymentSchedule, len(split))
		for i, part := range split {
			size := 0
			for _, l := range part {
				size += proto.Size(l)
			}
			require.NotEmpty(t, part)
			require.True(t, size <= bound || len(part) == 1, "part %d has %d bytes", i, size)
			parts[i] = sealed(t, lines...)
			parts[i].Lines = part
		}
		whole, err := schedule.Join(parts)
		require.NoError(t, err)
		want := sealed(t, lines...)
		want.Lines = lines
		require.True(t, proto.Equal(want, whole))
	})
}

func TestSplit_AnnouncesWhatIsEmpty(t *testing.T) {
	t.Parallel()
	parts := schedule.Split([]*typev1.PaymentLine{}, 1)
	require.Len(t, parts, 1)
	require.Empty(t, parts[0])
}

func TestJoin_RefusesPartsOfSeveralSchedules(t *testing.T) {
	t.Parallel()
	_, err := schedule.Join(nil)
	require.Equal(t, schedule.ReasonHeaderInvalid, fault.ReasonOf(err))
	first, second := sealed(t, line("a", 1), line("b", 2)), sealed(t, line("a", 1), line("b", 2))
	first.Lines, second.Lines = []*typev1.PaymentLine{line("a", 1)}, []*typev1.PaymentLine{line("b", 2)}
	first.Refusals = []*typev1.Refusal{{Reason: "RATE_UNKNOWN"}}
	whole, err := schedule.Join([]*typev1.PaymentSchedule{first, second})
	require.NoError(t, err)
	require.Len(t, whole.GetLines(), 2)
	require.Len(t, whole.GetRefusals(), 1)
	_, err = schedule.Join([]*typev1.PaymentSchedule{second, first})
	require.Equal(t, schedule.ReasonLineOrder, fault.ReasonOf(err))
	_, err = schedule.Join([]*typev1.PaymentSchedule{first})
	require.Equal(t, schedule.ReasonCountDiffers, fault.ReasonOf(err))
	second.Sequence = 2
	_, err = schedule.Join([]*typev1.PaymentSchedule{first, second})
	require.Equal(t, schedule.ReasonHeaderInvalid, fault.ReasonOf(err))
}

// FuzzVerify_BelievesOnlyWhatAddsUp feeds bytes as a schedule: it is refused with a reason, or adds up.
func FuzzVerify_BelievesOnlyWhatAddsUp(f *testing.F) {
	lines := []*typev1.PaymentLine{line("a", -100), line("b", 300)}
	whole := sealed(f, lines...)
	whole.Lines = lines
	for _, seed := range []proto.Message{whole, sealed(f), &typev1.PaymentSchedule{}} {
		data, err := proto.Marshal(seed)
		require.NoError(f, err)
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var in typev1.PaymentSchedule
		if proto.Unmarshal(data, &in) != nil {
			return
		}
		err := schedule.Verify(&in, in.GetLines())
		if err != nil {
			f, ok := fault.As(err)
			require.True(t, ok, "%v", err)
			require.Equal(t, fault.Refused, f.Kind)
			return
		}
		var sum int64
		for _, l := range in.GetLines() {
			sum += l.GetAmountPence()
		}
		require.Equal(t, in.GetPayTotalPence()+in.GetReconcileTotalPence(), sum)
		require.Len(t, in.GetLines(), int(in.GetLineCount()))
	})
}
