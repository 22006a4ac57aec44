package iif_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
)

func counted(n int64) *iifv1.Count { return &iifv1.Count{Value: &n} }

// record is a request that is in order.
func (s *countsSuite) record() *iifv1.RecordCountsRequest {
	return &iifv1.RecordCountsRequest{
		RequestId: s.next(), CommissionerCode: "15N", OrganisationCode: "A81001", FinancialYear: "2025-26", AchievedOn: listedDay, Reason: "the practice told us",
		Counts: &iifv1.IndicatorCounts{
			IndicatorCode: "CAN-04", Numerator: counted(40), Denominator: counted(50), Adjustments: []*iifv1.FieldCount{{Field: "FITNIDAT", Count: counted(2)}},
		},
	}
}

func TestRecordCounts_TakesThePlaceOfAll(t *testing.T) {
	eachCounts(t, func(t *testing.T, s *countsSuite) {
		s.load(t, "", extract("A81001 20250930 CAN04 Numerator 41", "A81001 20250930 CAN04 Denominator 60", "A81001 20250930 CAN04 GICANREF 9"))
		req := s.record()
		version, err := s.iif.RecordCounts(s.as(t, testkit.Preparer("15N")), req)
		require.NoError(t, err)
		require.True(t, version.GetStands())
		require.Equal(t, []string{"15N", "the practice told us", "preparer@example.test"}, []string{version.GetCommissionerCode(), version.GetReason(), version.GetRecordedBy()})
		require.True(t, proto.Equal(req.GetCounts(), version.GetCounts()))
		require.Equal(t, rules.Counts{
			Numerator: rules.Count(40), Denominator: rules.Count(50), Adjustments: []rules.FieldCount{{Field: "FITNIDAT", Cell: rules.Count(2)}},
		}, *s.stands(t, "15N", "A81001", "CAN-04"))
		require.Equal(t, rules.Count(41), s.stands(t, "16C", "A81001", "CAN-04").Numerator, "another's counts are as they were")

		versions := s.versions(t, &iifv1.ListCountsRequest{OrganisationCode: "A81001", FinancialYear: "2025-26", AchievedOn: listedDay, IndicatorCode: "CAN-04"})
		require.Len(t, versions, 2)
		require.True(t, proto.Equal(version, versions[0]))
		require.True(t, versions[1].GetStands(), "for all others")

		// England changes a cell: what was entered beside it stays, and so does who entered it, while any of it is left.
		s.load(t, "", extract("A81001 20250930 CAN04 Numerator 45"))
		require.Equal(t, []rules.Cell{rules.Count(45), rules.Count(50)}, []rules.Cell{
			s.stands(t, "15N", "A81001", "CAN-04").Numerator, s.stands(t, "15N", "A81001", "CAN-04").Denominator,
		})
		require.Equal(t, []string{"preparer@example.test"}, s.byHand(t, "15N"))
		require.Empty(t, s.byHand(t, "16C"))
		s.load(t, "15N", extract("A81001 20250930 CAN04 Denominator 50", "A81001 20250930 CAN04 FITNIDAT 2"))
		require.Equal(t, []string{testkit.Preparer().Subject}, s.byHand(t, "15N"), "who took the commissioner's own file in")
	})
}

// byHand returns who made some of what stands for a commissioner.
func (s *countsSuite) byHand(t *testing.T, commissioner string) []string {
	t.Helper()
	_, _, byHand, err := s.service.CountsOf(t.Context(), commissioner, 2025, countsOn, nil, 0)
	require.NoError(t, err)
	return byHand
}

func TestRecordCounts_RefusesWhatMakesNoSense(t *testing.T) {
	eachCounts(t, func(t *testing.T, s *countsSuite) {
		for name, c := range map[string]struct {
			change func(*iifv1.RecordCountsRequest)
			reason string
			bad    string
		}{
			"a code of neither":      {func(r *iifv1.RecordCountsRequest) { r.OrganisationCode = "15N" }, "ORGANISATION_MALFORMED", "organisation_code"},
			"no such year":           {func(r *iifv1.RecordCountsRequest) { r.FinancialYear = "2025-27" }, "YEAR_MALFORMED", "financial_year"},
			"a year without fund":    {func(r *iifv1.RecordCountsRequest) { r.FinancialYear, r.AchievedOn = "2015-16", "2015-09-30" }, "YEAR_OUT_OF_RANGE", "financial_year"},
			"a day of another year":  {func(r *iifv1.RecordCountsRequest) { r.AchievedOn = "2025-03-31" }, "COUNTS_INVALID", "achieved_on"},
			"no day":                 {func(r *iifv1.RecordCountsRequest) { r.AchievedOn = "2025-09-31" }, "DATE_MALFORMED", "achieved_on"},
			"a day to come":          {func(r *iifv1.RecordCountsRequest) { r.AchievedOn = "2026-03-31" }, "COUNTS_INVALID", "achieved_on"},
			"an indicator of before": {func(r *iifv1.RecordCountsRequest) { r.Counts.IndicatorCode = "VI-01" }, "INDICATOR_UNKNOWN", "indicator_code"},
			"stated and hidden":      {func(r *iifv1.RecordCountsRequest) { r.Counts.Numerator.Suppressed = true }, "COUNTS_INVALID", "counts.numerator"},
			"a field of none":        {func(r *iifv1.RecordCountsRequest) { r.Counts.Adjustments[0].Field = "XYZ" }, "COUNTS_INVALID", "counts.adjustments[0]"},
			"a field of the other kind": {func(r *iifv1.RecordCountsRequest) {
				r.Counts.Exclusions, r.Counts.Adjustments = r.Counts.Adjustments, nil
			}, "COUNTS_INVALID", "counts.exclusions[0]"},
			"a field twice": {func(r *iifv1.RecordCountsRequest) {
				r.Counts.Adjustments = append(r.Counts.Adjustments, r.Counts.Adjustments[0])
			}, "COUNTS_INVALID", "counts.adjustments[1]"},
			"a baseline of none":        {func(r *iifv1.RecordCountsRequest) { r.Counts.BaselineNumerator = counted(1) }, "COUNTS_INVALID", "counts.baseline_numerator"},
			"an answer to no question":  {func(r *iifv1.RecordCountsRequest) { r.Counts.Answer = iifv1.Answer_YES }, "COUNTS_INVALID", "counts.answer"},
			"nothing":                   {func(r *iifv1.RecordCountsRequest) { r.Counts = &iifv1.IndicatorCounts{IndicatorCode: "CAN-04"} }, "COUNTS_INVALID", "counts"},
			"counts that disagree":      {func(r *iifv1.RecordCountsRequest) { r.Counts.Register = counted(70) }, "COUNTS_INVALID", "counts"},
			"a field named the measure": {func(r *iifv1.RecordCountsRequest) { r.Counts.Adjustments[0].Field = "Numerator" }, "COUNTS_INVALID", "counts.adjustments[0]"},
		} {
			req := s.record()
			c.change(req)
			_, err := s.iif.RecordCounts(s.as(t, testkit.Preparer("15N")), req)
			f := refused(t, err)
			require.Equal(t, c.reason, f.Reason, name)
			require.Len(t, f.Violations, 1, name)
			require.Equal(t, c.bad, f.Violations[0].Field, name)
		}
		_, err := s.iif.RecordCounts(s.as(t, testkit.Preparer("16C")), s.record())
		require.Equal(t, auth.ReasonNotFound, refused(t, err).Reason)
		s.nothing(t)
	})
}

// question asks whether ACC-05 is answered, in the year that has it.
func (s *countsSuite) question(pcn string, answer iifv1.Answer, day, reason string) *iifv1.AnswerIndicatorRequest {
	return &iifv1.AnswerIndicatorRequest{
		RequestId: s.next(), PcnCode: pcn, FinancialYear: "2022-23", IndicatorCode: "ACC-05", AchievedOn: day, Answer: answer, Reason: reason,
	}
}

func TestAnswerIndicator_HoldsFromItsDay(t *testing.T) {
	eachCounts(t, func(t *testing.T, s *countsSuite) {
		answers := func(commissioner string, on period.Date) rules.Answer {
			of, _, _, err := s.service.CountsOf(t.Context(), commissioner, 2022, on, []string{"U12345"}, 0)
			require.NoError(t, err)
			for _, c := range of["U12345"] {
				return c.Counts.Answer
			}
			return rules.Unanswered
		}
		february, march := period.NewDate(2023, time.February, 28), period.NewDate(2023, time.March, 31)
		version, err := s.iif.AnswerIndicator(s.as(t, testkit.PCNManager("U12345")), s.question("U12345", iifv1.Answer_YES, "2023-02-28", ""))
		require.NoError(t, err)
		require.Equal(t, []string{rules.England, "2023-02-28"}, []string{version.GetCommissionerCode(), version.GetAchievedOn()})
		require.Equal(t, iifv1.Answer_YES, version.GetCounts().GetAnswer())
		for _, commissioner := range []string{"", "15N", "16C"} {
			require.Equal(t, rules.Unanswered, answers(commissioner, february.AddDays(-1)))
			require.Equal(t, rules.Yes, answers(commissioner, february))
			require.Equal(t, rules.Yes, answers(commissioner, march), "carried to the end of the year")
		}
		_, err = s.iif.AnswerIndicator(s.as(t, testkit.PCNManager("U12345")), s.question("U12345", iifv1.Answer_NO, "", "  "))
		require.Equal(t, rules.ReasonReasonRequired, refused(t, err).Reason)
		version, err = s.iif.AnswerIndicator(s.as(t, testkit.Preparer("*")), s.question("U12345", iifv1.Answer_NO, "", "ticked in error"))
		require.NoError(t, err)
		require.Equal(t, "2023-03-31", version.GetAchievedOn())
		require.Equal(t, rules.Yes, answers("15N", february))
		require.Equal(t, rules.No, answers("15N", march))
		_, _, byHand, err := s.service.CountsOf(t.Context(), "15N", 2022, march, nil, 0)
		require.NoError(t, err)
		require.Equal(t, []string{"preparer@example.test"}, byHand)

		// Answers do not make a day of counts.
		day, err := s.service.LastDay(t.Context(), "15N", 2022, nil)
		require.NoError(t, err)
		require.True(t, day.IsZero())
	})
}

// TestAnswerIndicator_StandsOverWhatACommissionerEntered holds that the last answer counts, whoever gave it.
func TestAnswerIndicator_StandsOverWhatACommissionerEntered(t *testing.T) {
	eachCounts(t, func(t *testing.T, s *countsSuite) {
		march := period.NewDate(2023, time.March, 31)
		_, err := s.iif.RecordCounts(s.as(t, testkit.Preparer("15N")), &iifv1.RecordCountsRequest{
			RequestId: s.next(), CommissionerCode: "15N", OrganisationCode: "U12345", FinancialYear: "2022-23", AchievedOn: "2023-03-31", Reason: "no plan was seen",
			Counts: &iifv1.IndicatorCounts{IndicatorCode: "ACC-05", Answer: iifv1.Answer_NO},
		})
		require.NoError(t, err)
		_, err = s.iif.AnswerIndicator(s.as(t, testkit.PCNManager("U12345")), s.question("U12345", iifv1.Answer_YES, "", "the plan was made in March"))
		require.NoError(t, err)
		of, _, _, err := s.service.CountsOf(t.Context(), "15N", 2022, march, []string{"U12345"}, 0)
		require.NoError(t, err)
		require.Equal(t, rules.Yes, of["U12345"][0].Counts.Answer)
	})
}

func TestAnswerIndicator_IsForThePCNAndItsCommissioner(t *testing.T) {
	eachCounts(t, func(t *testing.T, s *countsSuite) {
		s.place("U12345", "", "15N", "QJK")
		for name, c := range map[string]struct {
			by     auth.Principal
			pcn    string
			reason string
		}{
			"another PCN's manager":      {testkit.PCNManager("U54321"), "U12345", auth.ReasonNotFound},
			"another's preparer":         {testkit.Preparer("16C"), "U12345", auth.ReasonNotFound},
			"of a PCN that nobody knows": {testkit.Preparer("15N"), "U99999", auth.ReasonNotFound},
			"an auditor":                 {testkit.Auditor("15N"), "U12345", auth.ReasonRoleRequired},
			"a practice":                 {testkit.Preparer("*"), "A81001", "ORGANISATION_MALFORMED"},
		} {
			_, err := s.iif.AnswerIndicator(s.as(t, c.by), s.question(c.pcn, iifv1.Answer_YES, "", "x"))
			require.Equal(t, c.reason, refused(t, err).Reason, name)
		}
		for _, by := range []auth.Principal{testkit.PCNManager("U12345"), testkit.Preparer("15N"), testkit.Preparer("QJK"), testkit.Preparer("*")} {
			_, err := s.iif.AnswerIndicator(s.as(t, by), s.question("U12345", iifv1.Answer_YES, "", "x"))
			require.NoError(t, err, "%v", by)
		}
		_, err := s.iif.AnswerIndicator(s.as(t, testkit.Preparer("*")), &iifv1.AnswerIndicatorRequest{
			RequestId: s.next(), PcnCode: "U12345", FinancialYear: "2022-23", IndicatorCode: "CAN-01", Answer: iifv1.Answer_YES,
		})
		require.Equal(t, "COUNTS_INVALID", refused(t, err).Reason)
	})
}

// place tells the register where an organisation lies.
func (s *countsSuite) place(code, pcn, location, system string) {
	link := func(kind registerv1.RelationshipKind, other string) *registerv1.Relationship {
		return &registerv1.Relationship{Kind: kind, OtherCode: other, EffectiveFrom: "2019-07-01"}
	}
	s.register.known[code] = []*registerv1.Relationship{link(registerv1.RelationshipKind_COMMISSIONED_BY, location)}
	s.register.known[location] = []*registerv1.Relationship{link(registerv1.RelationshipKind_IN_SYSTEM, system)}
	if pcn != "" {
		left := link(registerv1.RelationshipKind_MEMBER_OF_PCN, "U00001")
		left.EffectiveTo = "2024-03-31"
		s.register.known[code] = append(s.register.known[code], link(registerv1.RelationshipKind_MEMBER_OF_PCN, pcn), left)
	}
}

func TestListCounts_ShowsWhomItConcerns(t *testing.T) {
	eachCounts(t, func(t *testing.T, s *countsSuite) {
		s.place("A81001", "U12345", "15N", "QJK")
		s.place("U12345", "", "16C", "QXX")
		s.load(t, "", extract("A81001 20250930 CAN04 Numerator 41", "U12345 20250930 CAN04 Numerator 41"))
		_, err := s.iif.RecordCounts(s.as(t, testkit.Preparer("15N")), s.record())
		require.NoError(t, err)
		for name, c := range map[string]struct {
			by      auth.Principal
			code    string
			visible int
		}{
			"an auditor of England":           {testkit.Auditor("*"), "A81001", 2},
			"its PCN":                         {testkit.PCNManager("U12345"), "A81001", 2},
			"a PCN that it left":              {testkit.PCNManager("U00001"), "A81001", 0},
			"another PCN":                     {testkit.PCNManager("U54321"), "A81001", 0},
			"its commissioner":                {testkit.Auditor("15N"), "A81001", 2},
			"its system":                      {testkit.Auditor("QJK"), "A81001", 1},
			"the commissioner of its PCN":     {testkit.Auditor("16C"), "A81001", 1},
			"another commissioner":            {testkit.Auditor("99A"), "A81001", 0},
			"the PCN itself":                  {testkit.PCNManager("U12345"), "U12345", 1},
			"the PCN to a practice's body":    {testkit.Auditor("15N"), "U12345", 0},
			"what the register does not know": {testkit.Auditor("15N"), "B00001", 0},
		} {
			out, err := s.iif.ListCounts(s.as(t, c.by), &iifv1.ListCountsRequest{OrganisationCode: c.code, FinancialYear: "2025-26"})
			if c.visible == 0 {
				require.Equal(t, auth.ReasonNotFound, refused(t, err).Reason, name)
				continue
			}
			require.NoError(t, err, name)
			require.Len(t, out.GetVersions(), c.visible, name)
		}
	})
}

func TestLastDay_IsThatOfTheOrganisations(t *testing.T) {
	eachCounts(t, func(t *testing.T, s *countsSuite) {
		s.load(t, "", extract("A81001 20250831 CAN04 Numerator 4", "A81002 20250731 CAN04 Numerator 4", "U12345 20250430 CAN04 Numerator 1"))
		s.load(t, "15N", extract("A81002 20250930 CAN04 Numerator 4"))
		for _, c := range []struct {
			commissioner  string
			organisations []string
			want          string
		}{
			{"", nil, "2025-08-31"},
			{"15N", nil, "2025-09-30"},
			{"16C", []string{"A81002"}, "2025-07-31"},
			{"15N", []string{"A81002", "U12345"}, "2025-09-30"},
			{"15N", []string{"U12345"}, "2025-04-30"},
			{"15N", []string{"A99999"}, ""},
			{"15N", []string{}, ""},
		} {
			day, err := s.service.LastDay(t.Context(), c.commissioner, 2025, c.organisations)
			require.NoError(t, err)
			require.Equal(t, c.want, day.String(), "%v", c)
		}
	})
}

func TestRecordCounts_RefusesMorePatientsThanThereAre(t *testing.T) {
	eachCounts(t, func(t *testing.T, s *countsSuite) {
		record := func(numerator int64) error {
			_, err := s.iif.RecordCounts(s.as(t, testkit.Preparer("15N")), &iifv1.RecordCountsRequest{
				RequestId: s.next(), CommissionerCode: "15N", OrganisationCode: "A81001", FinancialYear: "2025-26", AchievedOn: "2025-12-31", Reason: "r",
				Counts: &iifv1.IndicatorCounts{IndicatorCode: "HI-03", Numerator: counted(numerator), Denominator: counted(40)},
			})
			return err
		}
		require.NoError(t, record(40))
		require.ErrorContains(t, record(41), "41 patients met the target of HI-03, of 40 in its denominator")
	})
}
