package iif_test

import (
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/iif"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/store"
)

// rekeep gives the year of the first PCN, and a correction that waits of it, a copy of their result that was kept otherwise.
func (s *courseSuite) rekeep(t testing.TB, otherwise func(row *store.ResultRow)) {
	t.Helper()
	id := s.get(t, coursePCN).GetResult().GetResultId()
	list, err := s.iif.ListCorrections(s.as(t, testkit.Auditor("*")), new(iifv1.ListCorrectionsRequest))
	require.NoError(t, err)
	if len(list.GetCorrections()) > 0 {
		id = list.GetCorrections()[0].GetResult().GetResultId()
	}
	require.NoError(t, s.db.Write(t.Context(), func(tx *sqldb.Tx) error {
		row, err := store.Result(t.Context(), tx, id)
		if err != nil {
			return err
		}
		row.ID += "-otherwise"
		otherwise(&row)
		if err := store.InsertResults(t.Context(), tx, []store.ResultRow{row}); err != nil {
			return err
		}
		for _, table := range []string{"achievements", "corrections"} {
			if _, err := tx.Exec(t.Context(), `UPDATE `+table+` SET result_id = $1 WHERE result_id = $2`, row.ID, id); err != nil {
				return err
			}
		}
		return nil
	}))
}

func TestGetAchievement_ReadsAResultThatWasKeptInOtherWords(t *testing.T) {
	eachCourse(t, func(t *testing.T, s *courseSuite) {
		// Nobody knows the average any more: the result is kept with what is missing, in words.
		_, err := s.iif.AddFigure(s.as(t, author("*")), &iifv1.AddFigureRequest{
			RequestId: s.next(), FinancialYear: courseYear, Source: coursePaper, Confidence: typev1.Confidence_CONFIDENCE_UNKNOWN,
			Body: &iifv1.AddFigureRequest_Value{Value: &iifv1.SchemeValue{
				Field: iifv1.ValueField_NATIONAL_AVERAGE_LIST_SIZE, ListKind: iifv1.ListKind_REGISTERED, ListDate: "2025-01-01",
			}},
		})
		require.NoError(t, err)
		s.calculate(t)
		require.NotEmpty(t, s.get(t, coursePCN).GetResult().GetRefusals())
		s.rekeep(t, func(row *store.ResultRow) {
			row.Digest = "of another form"
			for _, refused := range row.Basis.GetRefusals() {
				refused.Remedy, refused.Missing = "look for it", "a figure"
			}
		})
		require.Len(t, s.get(t, coursePCN).GetResult().GetIndicators(), 3)
		s.rekeep(t, func(row *store.ResultRow) { row.Due++ })
		_, err = s.iif.GetAchievement(s.as(t, testkit.Auditor("*")), &iifv1.GetAchievementRequest{PcnCode: coursePCN, FinancialYear: courseYear})
		require.Error(t, err, "other pence are another result")
	})
}

func TestDigest_KnowsCodesAndValuesAndNoWords(t *testing.T) {
	t.Parallel()
	year := func(alter ...func(y *rules.Year)) string {
		why := fault.New(fault.Refused, rules.ReasonAverageUnknown, "missing").With("missing", "the average").With("remedy", "enter it")
		y := &rules.Year{
			PCN: coursePCN, Due: 500, Points: big.NewRat(1, 2), Available: big.NewRat(1, 1), Refused: []rules.Refusal{{Code: "CAN-04", Why: why}},
			Results: []rules.Result{{Code: "HI-03", Due: rules.Payment{Points: big.NewRat(1, 2), Amount: 500, Working: &working.Working{
				Inputs: []working.Input{{Name: "price of a point", Value: big.NewRat(10, 1), Origin: working.Origin{Kind: working.FromRate, Ref: "price", Source: "letter"}}},
			}}}},
		}
		for _, a := range alter {
			a(y)
		}
		return iif.DigestOf(y)
	}
	input := func(y *rules.Year) *working.Input { return &y.Results[0].Due.Working.Inputs[0] }
	refused := func(reason, words string) func(y *rules.Year) {
		return func(y *rules.Year) {
			y.Refused[0].Why = fault.New(fault.Refused, reason, "%s", words).With("missing", words).With("remedy", words)
		}
	}
	for name, words := range map[string]func(y *rules.Year){
		"refusal": refused(rules.ReasonAverageUnknown, "other words"),
		"input": func(y *rules.Year) {
			input(y).Name, input(y).Unit, input(y).Origin.Source = "what a point pays", "pounds", "paper"
		},
	} {
		require.Equal(t, year(), year(words), name)
	}
	for name, substance := range map[string]func(y *rules.Year){
		"reason": refused(rules.ReasonAverageNotConfirmed, "missing"),
		"value":  func(y *rules.Year) { input(y).Value = big.NewRat(11, 1) },
		"figure": func(y *rules.Year) { input(y).Origin.Ref = "another" },
		"pence":  func(y *rules.Year) { y.Due++ },
	} {
		require.NotEqual(t, year(), year(substance), name)
	}
}
