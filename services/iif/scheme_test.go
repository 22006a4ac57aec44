package iif_test

import (
	"errors"
	"fmt"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	"github.com/pcnfunding/pcnfunding/services/iif"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/store"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/tables"
)

func TestSeed_HoldsEveryRowOnceAndChangesNone(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		published, err := tables.Scheme()
		require.NoError(t, err)
		all := len(published.Versions) + len(published.Indicators) + len(published.Values) + len(published.Overrides) + len(published.Calendar)
		require.Equal(t, all, s.count(t, `figures`))
		require.Equal(t, all, s.count(t, `figures WHERE figure_id = subject AND recorded_by = 'published tables'`), "versions are named by their subject")
		s.clock.Advance(24 * time.Hour)
		_, err = iif.New(t.Context(), iif.Deps{DB: s.db, Logger: testkit.Logger(t)})
		require.NoError(t, err)
		require.Equal(t, all, s.count(t, `figures`))
		require.Equal(t, all, s.count(t, `figures WHERE recorded_at = $1`, sqldb.Micros(testkit.Start)))

		held, position, err := s.service.SchemeUpTo(t.Context(), 0)
		require.NoError(t, err)
		require.Equal(t, int64(all), position)
		require.Equal(t, plain(published), plain(held))
		for _, year := range []period.FinancialYear{2020, 2021, 2022, 2023, 2024, 2025} {
			for _, known := range []string{"", "2021-11-30", "2024-06-29"} {
				q := rules.Query{Year: year, Commissioner: "QX"}
				if known != "" {
					q.Known, err = period.ParseDate(known)
					require.NoError(t, err)
				}
				want, refused := rules.TermsFor(published, q)
				got, err := rules.TermsFor(held, q)
				require.Equal(t, refused, err)
				if refused == nil {
					require.Equal(t, plainTerms(want), plainTerms(got), "%s %s", year, known)
				}
			}
		}
	})
}

// plain is a scheme as texts, without the order of recording and the confidence of points, which serve no rule, and without the day on
// which a period began of which nothing is known.
func plain(s *rules.Scheme) (out []string) {
	add := func(f rules.Figure, row any) {
		f.Position = 0
		if f.Confidence == working.Unknown && f.KnownFromBasis == rules.KnownByEffectiveDate {
			f.KnownFrom = period.Date{}
		}
		out = append(out, fmt.Sprintf("%+v %+v", f, row))
	}
	text := func(r *big.Rat) string {
		if r == nil {
			return "unknown"
		}
		return r.RatString()
	}
	for _, v := range s.Versions {
		add(v.Figure, []any{v.VersionID, v.Year, v.From, v.To, text(v.Points), v.PointsAtMost, text(v.NationalGBP), v.PayingIndicators, v.Rounding})
	}
	for _, i := range s.Indicators {
		f := i.Figure
		i.Figure = rules.Figure{}
		add(f, fmt.Sprintf("%+v", i))
	}
	for _, v := range s.Values {
		add(v.Figure, []any{v.Key, text(v.Amount), v.List})
	}
	for _, o := range s.Overrides {
		add(o.Figure, []any{o.Year, o.Code, text(o.Share.Value)})
	}
	for _, r := range s.Calendar {
		add(r.Figure, []any{r.Year, r.Kind, r.ApproveBy, r.PayOn})
	}
	for _, f := range s.Fields {
		add(f.Figure, []any{f.VersionID, f.Code, f.Role, f.Name, f.Meaning})
	}
	return out
}

func plainTerms(t *rules.Terms) []string {
	out := []string{t.Version.ID, fmt.Sprint(t.Incomplete)}
	for i := range t.Indicators {
		it := &t.Indicators[i]
		out = append(out, it.ID, fmt.Sprint(it.Exclusions, it.Adjustments, it.Override != nil))
		for _, h := range []*rules.Held{&it.Points, &it.Lower, &it.Upper, &it.Prevalent, &it.National} {
			if h.Value != nil {
				out = append(out, h.Value.ID)
			}
		}
	}
	return out
}

func TestGetScheme_ShowsWhatGovernsAYear(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		got := s.governs(t, &iifv1.GetSchemeRequest{FinancialYear: "2023-24", CommissionerCode: "QJK"})
		require.Equal(t, "IIF-2023-04", got.GetVersion().GetVersion().GetVersionId())
		require.Equal(t, "QJK", got.GetCommissionerCode())
		require.Equal(t, "198", got.GetGbpPerPoint().GetValue().GetValue())
		require.Equal(t, "HALF_UP", got.GetRounding())
		require.Equal(t, "INDICATOR", got.GetRoundingPlace())
		require.Nil(t, got.GetIncomplete())
		require.Equal(t, iifv1.ValueField_NATIONAL_AVERAGE_LIST_SIZE, got.GetNationalAverageListSize().GetValue().GetField())
		require.Len(t, got.GetPaymentRuns(), 3)
		require.Equal(t, "2024-06-20", got.GetPaymentRuns()[0].GetPaymentRun().GetPayOn())
		require.Empty(t, got.GetPaymentRuns()[0].GetKnownFrom())
		for _, it := range got.GetIndicators() {
			require.Equal(t, it.GetIndicator().GetIndicator().GetIndicatorCode() == "ACC-08", it.GetOverride() != nil)
		}
		require.Empty(t, got.GetNationalValueCheckGbp(), "the points of VI-02 are a candidate")
		before := s.governs(t, &iifv1.GetSchemeRequest{FinancialYear: "2023-24", KnownOn: "2024-06-29"})
		for _, it := range before.GetIndicators() {
			require.Nil(t, it.GetOverride())
		}
		whole := s.governs(t, &iifv1.GetSchemeRequest{FinancialYear: "2021-22"})
		require.Equal(t, "389", whole.GetPointsAvailable())
		require.Equal(t, "87595020", whole.GetNationalValueCheckGbp(), "389 × £200 × 0.90 × 1,251")
		require.Equal(t, "IIF-2021-04", s.governs(t, &iifv1.GetSchemeRequest{FinancialYear: "2021-22", OnDate: "2021-09-30"}).GetVersion().GetFigureId())
		require.Equal(t, "SCHEME_VERSION_INCOMPLETE", s.governs(t, &iifv1.GetSchemeRequest{FinancialYear: "2022-23"}).GetIncomplete().GetReason())
	})
}

func TestGetScheme_NamesWhatIsNotKnown(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		got := s.governs(t, &iifv1.GetSchemeRequest{FinancialYear: "2026-27"})
		require.Equal(t, "IIF-2026-04", got.GetVersion().GetFigureId())
		require.Equal(t, "SCHEME_VERSION_UNKNOWN", got.GetIncomplete().GetReason())
		require.NotEmpty(t, got.GetIncomplete().GetMissing())
		require.NotEmpty(t, got.GetIncomplete().GetRemedy())
		require.Empty(t, got.GetNationalValueCheckGbp())
		for _, c := range []struct {
			who  auth.Principal
			req  *iifv1.GetSchemeRequest
			want string
		}{
			{testkit.Auditor("*"), &iifv1.GetSchemeRequest{FinancialYear: "2019-20"}, "SCHEME_VERSION_UNKNOWN"},
			{testkit.Auditor("*"), &iifv1.GetSchemeRequest{FinancialYear: "2026-28"}, "YEAR_MALFORMED"},
			{testkit.Auditor("*"), &iifv1.GetSchemeRequest{FinancialYear: "2025-26", KnownOn: "2025-02-30"}, "DATE_MALFORMED"},
			{testkit.Auditor("*"), &iifv1.GetSchemeRequest{FinancialYear: "2025-26", OnDate: "2026-04-01"}, "FIGURE_PERIOD_INVALID"},
			{testkit.Auditor("QT6"), &iifv1.GetSchemeRequest{FinancialYear: "2025-26", CommissionerCode: "QJK"}, auth.ReasonNotFound},
			{testkit.PCNManager("U1"), &iifv1.GetSchemeRequest{FinancialYear: "2025-26", CommissionerCode: "QJK"}, auth.ReasonNotFound},
		} {
			_, err := s.iif.GetScheme(s.as(t, c.who), c.req)
			require.Equal(t, c.want, reason(err), "%v", c.req)
		}
		_, err := s.iif.GetScheme(s.as(t, testkit.PCNManager("U1")), &iifv1.GetSchemeRequest{FinancialYear: "2025-26"})
		require.NoError(t, err)
	})
}

// enter2026 enters 2026/27 in full: what preparers propose another person confirms.
func (s *suite) enter2026(t *testing.T, whose func(*iifv1.AddFigureRequest), confirm func(id string)) {
	t.Helper()
	version := s.add(t, whose, schemeVersion(func(*iifv1.SchemeVersion) {}))
	require.Equal(t, "IIF-2026-04", version.GetVersion().GetVersionId(), "it takes the place of the version of which nothing is known")
	propose := func(parts ...func(*iifv1.AddFigureRequest)) {
		confirm(s.addAs(t, testkit.Preparer("*"), append(parts, whose, held(candidate))...).GetFigureId())
	}
	s.add(t, whose, indicator(func(i *iifv1.SchemeIndicator) { i.Exclusions, i.Adjustments = []string{"NEW_DAT"}, []string{"NEW_DEC"} }))
	propose(indicator(func(i *iifv1.SchemeIndicator) { i.IndicatorCode, i.CqrsCode = "CAN-04", "CAN04" }))
	s.add(t, whose, indicator(func(i *iifv1.SchemeIndicator) {
		i.IndicatorCode, i.CqrsCode, i.Kind, i.Direction = "ACC-01", "", iifv1.IndicatorKind_BINARY, 0
		i.NumeratorFrom, i.DenominatorFrom = iifv1.CountsFeed_TICK, 0
	}))
	for _, v := range []struct {
		code  string
		field iifv1.ValueField
		value string
	}{
		{"", iifv1.ValueField_GBP_PER_POINT, "200"},
		{"HI-03", iifv1.ValueField_POINTS, "36"},
		{"HI-03", iifv1.ValueField_LOWER_THRESHOLD, "60"},
		{"HI-03", iifv1.ValueField_UPPER_THRESHOLD, "80"},
		{"HI-03", iifv1.ValueField_PREVALENCE_ADJUSTED, "1"},
		{"CAN-04", iifv1.ValueField_POINTS, "22"},
		{"CAN-04", iifv1.ValueField_LOWER_THRESHOLD, "65"},
		{"CAN-04", iifv1.ValueField_UPPER_THRESHOLD, "80"},
		{"CAN-04", iifv1.ValueField_PREVALENCE_ADJUSTED, "0"},
		{"ACC-01", iifv1.ValueField_POINTS, "10"},
	} {
		propose(number("IIF-2026-04", v.code, v.field, v.value))
	}
	s.add(t, whose, number("", "HI-03", iifv1.ValueField_NATIONAL_PREVALENCE_PERCENT, "0.5"))
	s.add(t, whose, func(r *iifv1.AddFigureRequest) {
		r.Body = &iifv1.AddFigureRequest_Value{Value: &iifv1.SchemeValue{
			Field: iifv1.ValueField_NATIONAL_AVERAGE_LIST_SIZE, Value: "50000", ListKind: iifv1.ListKind_REGISTERED, ListDate: "2026-01-01",
		}}
	})
	s.add(t, whose, paymentRun("2027-07-05", "2027-07-20", false))
	s.add(t, whose, paymentRun("", "2027-08-31", true))
}

// require2026 assesses a PCN by what was entered: 36 points at half the way × £200 × 0.4% of 0.5%, 22 and 10 points × £200 in full.
func (s *suite) require2026(t *testing.T, commissioner string) {
	t.Helper()
	at := s.terms(t, rules.Query{Year: 2026, Commissioner: commissioner}, 0)
	require.Nil(t, at.Incomplete)
	it, _ := at.Find("HI-03")
	require.Equal(t, []string{"NEW_DAT"}, it.Exclusions)
	require.Equal(t, []string{"NEW_DEC"}, it.Adjustments)
	can, _ := at.Find("CAN-04")
	require.NotContains(t, can.Adjustments, "NEW_DEC")
	year, err := rules.AssessYear(at, listed50k(), []rules.IndicatorCounts{
		{Code: "HI-03", Counts: rules.Counts{Numerator: rules.Count(140), Denominator: rules.Count(200)}},
		{Code: "CAN-04", Counts: rules.Counts{Numerator: rules.Count(90), Denominator: rules.Count(100)}},
		{Code: "ACC-01", Counts: rules.Counts{Answer: rules.Yes}},
	})
	require.NoError(t, err)
	require.True(t, year.Whole(), "%v", year.Refused)
	require.Equal(t, "9280.00", year.Due.Plain())
	require.Equal(t, "IIF-2026-04", year.VersionID)
	scheme, _, err := s.service.SchemeUpTo(t.Context(), 0)
	require.NoError(t, err)
	run, err := rules.RunFor(scheme, at.Query, period.NewDate(2027, time.July, 5))
	require.NoError(t, err)
	require.Equal(t, "2027-07-20", run.PayOn.String())
}

func TestAddFigure_EntersAYearInFull(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.enter2026(t, by(""), func(id string) {
			confirmed, err := s.confirm(t, id)
			require.NoError(t, err, id)
			require.Equal(t, id, confirmed.GetReplacesFigureId())
		})
		s.require2026(t, "QJK")
		got := s.governs(t, &iifv1.GetSchemeRequest{FinancialYear: "2026-27"})
		require.Nil(t, got.GetIncomplete())
		require.Equal(t, "68", got.GetPointsAvailable())
		require.Equal(t, "15312240", got.GetNationalValueCheckGbp(), "68 × £200 × 0.90 × 1,251")
		require.Equal(t, iifv1.ListKind_REGISTERED, got.GetNationalAverageListSize().GetValue().GetListKind())
		require.Len(t, got.GetPaymentRuns(), 2)
		require.Equal(t, "IIF-2025-04", s.governs(t, &iifv1.GetSchemeRequest{FinancialYear: "2025-26"}).GetVersion().GetFigureId())
		// It is known from the day of its entry on, also once the year begins of which the tables know nothing.
		for known, want := range map[string]string{"2026-01-14": "SCHEME_VERSION_UNKNOWN", "2026-01-15": "", "2026-04-01": ""} {
			got := s.governs(t, &iifv1.GetSchemeRequest{FinancialYear: "2026-27", KnownOn: known})
			require.Equal(t, want, got.GetIncomplete().GetReason(), known)
		}
	})
}

func TestAddFigure_EntersAYearOfOneCommissioner(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.enter2026(t, by("QJK"), func(id string) {
			_, err := s.confirm(t, id)
			require.Equal(t, "FIGURE_NOT_FOUND", reason(err), "it is not England's to confirm")
			_, err = s.confirm(t, id, func(r *iifv1.ConfirmFigureRequest) { r.CommissionerCode = "QJK" })
			require.NoError(t, err)
		})
		s.require2026(t, "QJK")
		require.Equal(t, "SCHEME_VERSION_UNKNOWN", s.governs(t, &iifv1.GetSchemeRequest{FinancialYear: "2026-27", CommissionerCode: "QT6"}).GetIncomplete().GetReason())
		require.Nil(t, s.governs(t, &iifv1.GetSchemeRequest{FinancialYear: "2026-27", CommissionerCode: "QJK"}).GetIncomplete())
		for _, f := range s.listed(t, testkit.Auditor("QT6"), &iifv1.ListFiguresRequest{FinancialYear: "2026-27", PageSize: 1000, IncludeSuperseded: true}) {
			require.Equal(t, "england", f.GetCommissionerCode())
		}
		own := s.listed(t, testkit.Auditor("QJK"), &iifv1.ListFiguresRequest{FinancialYear: "2026-27", PageSize: 1000, IncludeSuperseded: true})
		require.True(t, slices.ContainsFunc(own, func(f *iifv1.Figure) bool { return f.GetCommissionerCode() == "QJK" }))
	})
}

// confirmed candidates pay from the day of the confirmation, and what was known before stays what it was.
func TestConfirmFigure_MakesACandidatePay(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		q := rules.Query{Year: 2025, Commissioner: "QJK"}
		_, before, err := s.service.SchemeUpTo(t.Context(), 0)
		require.NoError(t, err)
		points := func(q rules.Query, upTo int64) string {
			at := s.terms(t, q, upTo)
			it, _ := at.Find("HI-03")
			got, err := rules.Assess(at, it, listed50k(), &rules.Counts{Numerator: rules.Count(70), Denominator: rules.Count(100)})
			require.NoError(t, err)
			if got.Due.Points == nil {
				return got.Due.Refused.Reason
			}
			return got.Due.Points.RatString()
		}
		require.Equal(t, "THRESHOLD_NOT_CONFIRMED", points(q, 0))
		for _, id := range []string{"IIF-2025-04-HI-03:lower_threshold", "IIF-2025-04-HI-03:upper_threshold"} {
			waiting := s.listed(t, testkit.Auditor("*"), &iifv1.ListFiguresRequest{VersionId: "IIF-2025-04", IndicatorCode: "HI-03", NotPayableOnly: true})
			require.True(t, slices.ContainsFunc(waiting, func(f *iifv1.Figure) bool { return f.GetFigureId() == id }))
			confirmed, err := s.confirm(t, id, func(r *iifv1.ConfirmFigureRequest) { r.Etag = id })
			require.NoError(t, err)
			require.Equal(t, official, confirmed.GetConfidence())
			require.Equal(t, "entry", confirmed.GetKnownFromBasis())
		}
		require.Equal(t, "18", points(q, 0))
		require.Equal(t, "THRESHOLD_NOT_CONFIRMED", points(q, before), "a result keeps to what it knew")
		day := q
		day.Known = period.NewDate(2026, time.January, 14)
		require.Equal(t, "THRESHOLD_NOT_CONFIRMED", points(day, 0), "a figure known late changes nothing of before")
		day.Known = day.Known.AddDays(1)
		require.Equal(t, "18", points(day, 0))
		earlier := s.governs(t, &iifv1.GetSchemeRequest{FinancialYear: "2025-26", KnownOn: "2026-01-14"})
		now := s.governs(t, &iifv1.GetSchemeRequest{FinancialYear: "2025-26"})
		at := slices.IndexFunc(now.GetIndicators(), func(i *iifv1.IndicatorTerms) bool {
			return i.GetIndicator().GetIndicator().GetIndicatorCode() == "HI-03"
		})
		require.Equal(t, candidate, earlier.GetIndicators()[at].GetLowerThreshold().GetConfidence())
		require.True(t, earlier.GetIndicators()[at].GetLowerThreshold().GetSuperseded())
		require.Equal(t, official, now.GetIndicators()[at].GetLowerThreshold().GetConfidence())

		events := s.published(t)
		require.Len(t, events, 2)
		require.Equal(t, "figure/england/IIF-2025-04-HI-03:lower_threshold", events[0].aggregate)
		require.Equal(t, "IIF-2025-04-HI-03:lower_threshold", events[0].event.(*iifv1.FigureConfirmed).GetReplacesFigureId())
		id := events[0].event.(*iifv1.FigureConfirmed).GetFigure().GetFigureId()
		require.Equal(t, 1, s.count(t, `audit WHERE resource = $1`, "iif/figures/"+id))
	})
}

func TestConfirmFigure_RefusesWhatIsNotToBeConfirmed(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		both := testkit.Preparer("*")
		both.Roles = append(both.Roles, optionsv1.Role_ROLE_FINANCE_APPROVER)
		points := number("IIF-2025-04", "HI-03", iifv1.ValueField_POINTS, "37")
		proposed := s.addAs(t, both, of("2025-26"), points, held(candidate))
		request := func(change func(*iifv1.ConfirmFigureRequest)) *iifv1.ConfirmFigureRequest {
			out := &iifv1.ConfirmFigureRequest{RequestId: s.next(), FigureId: proposed.GetFigureId(), Source: "circular", Confidence: official}
			change(out)
			return out
		}
		for name, c := range map[string]struct {
			who    auth.Principal
			change func(*iifv1.ConfirmFigureRequest)
			want   string
		}{
			"its author":         {both, func(*iifv1.ConfirmFigureRequest) {}, "CONFIRMER_IS_AUTHOR"},
			"a candidate still":  {testkit.Approver("*"), func(r *iifv1.ConfirmFigureRequest) { r.Confidence = candidate }, "FIGURE_NOT_CONFIRMABLE"},
			"of no confidence":   {testkit.Approver("*"), func(r *iifv1.ConfirmFigureRequest) { r.Confidence = 0 }, "FIGURE_NOT_CONFIRMABLE"},
			"another tag":        {testkit.Approver("*"), func(r *iifv1.ConfirmFigureRequest) { r.Etag = "x" }, "FIGURE_REPLACED"},
			"nothing there":      {testkit.Approver("*"), func(r *iifv1.ConfirmFigureRequest) { r.FigureId = "x" }, "FIGURE_NOT_FOUND"},
			"a payable one":      {testkit.Approver("*"), func(r *iifv1.ConfirmFigureRequest) { r.FigureId = "IIF-2025-04" }, "FIGURE_NOT_CONFIRMABLE"},
			"no decimal":         {testkit.Approver("*"), func(r *iifv1.ConfirmFigureRequest) { r.Value = "1e3" }, "DECIMAL_MALFORMED"},
			"a slip":             {testkit.Approver("*"), func(r *iifv1.ConfirmFigureRequest) { r.Value = "370" }, "DECIMAL_MALFORMED"},
			"no figure":          {testkit.Approver("*"), func(r *iifv1.ConfirmFigureRequest) { r.FigureId = "IIF-2026-04:gbp_per_point" }, "FIGURE_VALUE_REQUIRED"},
			"an unknown version": {testkit.Approver("*"), func(r *iifv1.ConfirmFigureRequest) { r.FigureId = "IIF-2026-04" }, "FIGURE_VALUE_REQUIRED"},
			"a version's value":  {testkit.Approver("*"), func(r *iifv1.ConfirmFigureRequest) { r.FigureId, r.Value = "IIF-2026-04", "1" }, "FIGURE_SUBJECT_INVALID"},
		} {
			_, err := s.iif.ConfirmFigure(s.as(t, c.who), request(c.change))
			require.Equal(t, c.want, reason(err), name)
		}
		_, err := s.iif.ConfirmFigure(s.as(t, testkit.Preparer("*")), request(func(*iifv1.ConfirmFigureRequest) {}))
		require.Equal(t, codes.PermissionDenied, status.Code(err))
		confirmed, err := s.confirm(t, proposed.GetFigureId(), func(r *iifv1.ConfirmFigureRequest) { r.Value = "35" })
		require.NoError(t, err)
		require.Equal(t, "35", confirmed.GetValue().GetValue())
		_, err = s.confirm(t, proposed.GetFigureId())
		require.Equal(t, "FIGURE_REPLACED", reason(err))
		entered, err := s.confirm(t, "IIF-2025-04-CAN-04:prevalence_adjusted", func(r *iifv1.ConfirmFigureRequest) { r.Value, r.CommissionerCode = "0", "QJK" })
		require.NoError(t, err)
		require.Equal(t, "QJK", entered.GetCommissionerCode())
		_, err = s.confirm(t, "IIF-2025-04-CAN-04:prevalence_adjusted", func(r *iifv1.ConfirmFigureRequest) { r.Value, r.CommissionerCode = "0", "QJK" })
		require.Equal(t, "FIGURE_REPLACED", reason(err), "it has its own")
		_, err = s.confirm(t, "IIF-2025-04-CAN-04:prevalence_adjusted", func(r *iifv1.ConfirmFigureRequest) { r.Value, r.CommissionerCode = "1", "QT6" })
		require.NoError(t, err, "another has not")
	})
}

func TestAddFigure_TakesThePlaceOfTheVersionBefore(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		points := number("IIF-2025-04", "HI-03", iifv1.ValueField_POINTS, "37")
		req := figure(of("2025-26"), points, func(r *iifv1.AddFigureRequest) { r.RequestId, r.KnownFrom = "a", "2025-05-01" })
		added, err := s.iif.AddFigure(s.as(t, testkit.Approver("*")), req)
		require.NoError(t, err)
		require.Equal(t, "publication", added.GetKnownFromBasis())
		require.Equal(t, "2025-05-01", added.GetKnownFrom())
		require.Equal(t, added.GetFigureId(), added.GetEtag())
		again, err := s.iif.AddFigure(s.as(t, testkit.Approver("*")), req)
		require.NoError(t, err)
		require.True(t, proto.Equal(added, again))
		amount := func(known string) string {
			for _, it := range s.governs(t, &iifv1.GetSchemeRequest{FinancialYear: "2025-26", KnownOn: known}).GetIndicators() {
				if it.GetIndicator().GetIndicator().GetIndicatorCode() == "HI-03" {
					return it.GetPoints().GetValue().GetValue()
				}
			}
			return ""
		}
		require.Equal(t, "37", amount(""))
		require.Equal(t, "36", amount("2026-01-14"), "what was decided before rests on what the suite knew then")
		proposed := s.addAs(t, testkit.Preparer("*"), of("2025-26"), number("IIF-2025-04", "HI-03", iifv1.ValueField_POINTS, "38"), held(candidate))
		require.Equal(t, "37", amount(""), "a candidate waits")
		standing := func() (ids []string) {
			for _, f := range s.listed(t, testkit.Auditor("*"), &iifv1.ListFiguresRequest{VersionId: "IIF-2025-04", IndicatorCode: "HI-03", Kind: iifv1.FigureKind_VALUE}) {
				if f.GetValue().GetField() == iifv1.ValueField_POINTS {
					ids = append(ids, f.GetFigureId())
				}
			}
			return ids
		}
		require.Equal(t, []string{added.GetFigureId(), proposed.GetFigureId()}, standing())
		withdrawn := s.add(t, of("2025-26"), number("IIF-2025-04", "HI-03", iifv1.ValueField_POINTS, ""), held(unknown))
		require.Empty(t, amount(""))
		require.Equal(t, []string{withdrawn.GetFigureId()}, standing())
		events := s.published(t)
		require.Len(t, events, 3)
		require.Equal(t, "figure/england/IIF-2025-04-HI-03:points", events[0].aggregate)
		require.True(t, proto.Equal(added, events[0].event.(*iifv1.FigureAdded).GetFigure()))
	})
}

func TestAddFigure_WithdrawsAnOverrideAndARun(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		overridden := func() int {
			n := 0
			for _, it := range s.governs(t, &iifv1.GetSchemeRequest{FinancialYear: "2023-24"}).GetIndicators() {
				if it.GetOverride() != nil {
					n++
				}
			}
			return n
		}
		require.Equal(t, 1, overridden())
		s.add(t, of("2023-24"), override("ACC-08", ""))
		require.Zero(t, overridden())
		_, why := s.tryAdd(t, testkit.Approver("*"), figure(of("2023-24"), override("ACC-08", "")))
		require.Equal(t, "FIGURE_VALUE_REQUIRED", why, "there is none any more")
		s.addAs(t, testkit.Preparer("*"), of("2023-24"), override("HI-03", "0.5"), held(candidate))
		s.add(t, of("2023-24"), override("ACC-08", "0.75"))
		require.Equal(t, 2, overridden())
		s.add(t, of("2023-24"), paymentRun("2024-08-05", "2024-08-20", false), held(unknown))
		require.Len(t, s.governs(t, &iifv1.GetSchemeRequest{FinancialYear: "2023-24"}).GetPaymentRuns(), 2)
	})
}

// An October version is entered once the version before it ends in September.
func TestAddFigure_DividesAYear(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		october := schemeVersion(func(v *iifv1.SchemeVersion) { v.FromDate, v.ToDate = "2025-10-01", "2026-03-31" })
		_, why := s.tryAdd(t, testkit.Approver("*"), figure(of("2025-26"), october))
		require.Equal(t, "FIGURE_PERIOD_INVALID", why)
		shortened := s.add(t, of("2025-26"), schemeVersion(func(v *iifv1.SchemeVersion) {
			v.VersionId, v.FromDate, v.ToDate, v.Points, v.PayingIndicators = "IIF-2025-04", "2025-04-01", "2025-09-30", "58", 2
		}))
		require.Equal(t, "IIF-2025-04", shortened.GetVersion().GetVersionId())
		late := schemeVersion(func(v *iifv1.SchemeVersion) { v.FromDate, v.ToDate = "2025-10-02", "2026-03-31" })
		_, why = s.tryAdd(t, testkit.Approver("*"), figure(of("2025-26"), late))
		require.Equal(t, "FIGURE_PERIOD_INVALID", why, "it leaves a day without a version")
		proposed := s.addAs(t, testkit.Preparer("*"), of("2025-26"), october, held(candidate))
		require.Equal(t, "IIF-2025-10", proposed.GetVersion().GetVersionId())
		require.Equal(t, "IIF-2025-04", s.governs(t, &iifv1.GetSchemeRequest{FinancialYear: "2025-26"}).GetVersion().GetVersion().GetVersionId())
		_, err := s.confirm(t, proposed.GetFigureId())
		require.NoError(t, err)
		require.Equal(t, "IIF-2025-10", s.governs(t, &iifv1.GetSchemeRequest{FinancialYear: "2025-26"}).GetVersion().GetVersion().GetVersionId())
		april := s.governs(t, &iifv1.GetSchemeRequest{FinancialYear: "2025-26", OnDate: "2025-09-30"})
		require.Equal(t, shortened.GetFigureId(), april.GetVersion().GetFigureId())
		require.Len(t, april.GetIndicators(), 2, "a corrected row keeps the indicators of its version")
		require.Equal(t, "198", april.GetGbpPerPoint().GetValue().GetValue())
	})
}

func TestAddFigure_RefusesWhatCouldNotStand(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		hi03 := func(field iifv1.ValueField, value string) func(*iifv1.AddFigureRequest) {
			return number("IIF-2025-04", "HI-03", field, value)
		}
		list := func(change func(*iifv1.SchemeValue)) func(*iifv1.AddFigureRequest) {
			v := &iifv1.SchemeValue{Field: iifv1.ValueField_NATIONAL_AVERAGE_LIST_SIZE, Value: "49500"}
			change(v)
			return func(r *iifv1.AddFigureRequest) { r.Body = &iifv1.AddFigureRequest_Value{Value: v} }
		}
		y25 := of("2025-26")
		approver := testkit.Approver("*")
		for name, c := range map[string]struct {
			who   auth.Principal
			parts []func(*iifv1.AddFigureRequest)
			want  string
		}{
			"nothing":                     {approver, nil, "FIGURE_SUBJECT_INVALID"},
			"a preparer's word":           {testkit.Preparer("*"), []func(*iifv1.AddFigureRequest){y25, hi03(iifv1.ValueField_POINTS, "36")}, "APPROVER_REQUIRED"},
			"a preparer's doubt":          {testkit.Preparer("*"), []func(*iifv1.AddFigureRequest){y25, hi03(iifv1.ValueField_POINTS, ""), held(unknown)}, "APPROVER_REQUIRED"},
			"of no confidence":            {approver, []func(*iifv1.AddFigureRequest){y25, hi03(iifv1.ValueField_POINTS, "36"), held(0)}, "FIGURE_VALUE_REQUIRED"},
			"an unknown number":           {approver, []func(*iifv1.AddFigureRequest){y25, hi03(iifv1.ValueField_POINTS, "36"), held(unknown)}, "FIGURE_VALUE_REQUIRED"},
			"no number":                   {approver, []func(*iifv1.AddFigureRequest){y25, hi03(iifv1.ValueField_POINTS, "")}, "FIGURE_VALUE_REQUIRED"},
			"an unknown version":          {approver, []func(*iifv1.AddFigureRequest){schemeVersion(func(*iifv1.SchemeVersion) {}), held(unknown)}, "FIGURE_VALUE_REQUIRED"},
			"an unknown override":         {approver, []func(*iifv1.AddFigureRequest){of("2023-24"), override("ACC-08", "1"), held(unknown)}, "FIGURE_VALUE_REQUIRED"},
			"a day to come":               {approver, []func(*iifv1.AddFigureRequest){y25, hi03(iifv1.ValueField_POINTS, "36"), func(r *iifv1.AddFigureRequest) { r.KnownFrom = "2026-01-16" }}, "KNOWN_AT_IN_FUTURE"},
			"30 February":                 {approver, []func(*iifv1.AddFigureRequest){y25, hi03(iifv1.ValueField_POINTS, "36"), func(r *iifv1.AddFigureRequest) { r.KnownFrom = "2025-02-30" }}, "DATE_MALFORMED"},
			"no year":                     {approver, []func(*iifv1.AddFigureRequest){of("2025-27"), hi03(iifv1.ValueField_POINTS, "36")}, "YEAR_MALFORMED"},
			"before the fund":             {approver, []func(*iifv1.AddFigureRequest){of("2019-20"), hi03(iifv1.ValueField_POINTS, "36")}, "YEAR_OUT_OF_RANGE"},
			"the year after next":         {approver, []func(*iifv1.AddFigureRequest){of("2027-28"), hi03(iifv1.ValueField_POINTS, "36")}, "YEAR_OUT_OF_RANGE"},
			"no decimal":                  {approver, []func(*iifv1.AddFigureRequest){y25, hi03(iifv1.ValueField_POINTS, "3,6")}, "DECIMAL_MALFORMED"},
			"no field":                    {approver, []func(*iifv1.AddFigureRequest){y25, hi03(0, "36")}, "FIGURE_SUBJECT_INVALID"},
			"a price without version":     {approver, []func(*iifv1.AddFigureRequest){y25, number("", "", iifv1.ValueField_GBP_PER_POINT, "198")}, "FIGURE_SUBJECT_INVALID"},
			"a price of an indicator":     {approver, []func(*iifv1.AddFigureRequest){y25, hi03(iifv1.ValueField_GBP_PER_POINT, "198")}, "FIGURE_SUBJECT_INVALID"},
			"a price of nothing":          {approver, []func(*iifv1.AddFigureRequest){y25, number("IIF-2025-04", "", iifv1.ValueField_GBP_PER_POINT, "0")}, "DECIMAL_MALFORMED"},
			"a price in pence":            {approver, []func(*iifv1.AddFigureRequest){y25, number("IIF-2025-04", "", iifv1.ValueField_GBP_PER_POINT, "19800")}, "DECIMAL_MALFORMED"},
			"a version of another year":   {approver, []func(*iifv1.AddFigureRequest){number("IIF-2025-04", "", iifv1.ValueField_GBP_PER_POINT, "198")}, "FIGURE_SUBJECT_INVALID"},
			"points without indicator":    {approver, []func(*iifv1.AddFigureRequest){y25, number("IIF-2025-04", "", iifv1.ValueField_POINTS, "36")}, "FIGURE_SUBJECT_INVALID"},
			"points of none":              {approver, []func(*iifv1.AddFigureRequest){y25, number("IIF-2025-04", "HI-09", iifv1.ValueField_POINTS, "36")}, "INDICATOR_UNKNOWN"},
			"more points than there are":  {approver, []func(*iifv1.AddFigureRequest){y25, hi03(iifv1.ValueField_POINTS, "360")}, "DECIMAL_MALFORMED"},
			"points below nothing":        {approver, []func(*iifv1.AddFigureRequest){y25, hi03(iifv1.ValueField_POINTS, "-36")}, "DECIMAL_MALFORMED"},
			"points of a list":            {approver, []func(*iifv1.AddFigureRequest){y25, hi03(iifv1.ValueField_POINTS, "36"), func(r *iifv1.AddFigureRequest) { r.GetValue().ListKind = iifv1.ListKind_ADJUSTED }}, "FIGURE_SUBJECT_INVALID"},
			"half a rule":                 {approver, []func(*iifv1.AddFigureRequest){y25, hi03(iifv1.ValueField_PREVALENCE_ADJUSTED, "0.5")}, "DECIMAL_MALFORMED"},
			"a threshold above all":       {approver, []func(*iifv1.AddFigureRequest){y25, hi03(iifv1.ValueField_UPPER_THRESHOLD, "800")}, "DECIMAL_MALFORMED"},
			"a lower above the upper":     {approver, []func(*iifv1.AddFigureRequest){y25, hi03(iifv1.ValueField_LOWER_THRESHOLD, "85")}, "FIGURE_INVALID"},
			"an upper at the lower":       {approver, []func(*iifv1.AddFigureRequest){y25, hi03(iifv1.ValueField_UPPER_THRESHOLD, "60")}, "FIGURE_INVALID"},
			"a threshold of yes or no":    {approver, []func(*iifv1.AddFigureRequest){of("2021-22"), number("IIF-2021-12", "ACC-01", iifv1.ValueField_LOWER_THRESHOLD, "1")}, "FIGURE_SUBJECT_INVALID"},
			"a prevalence of nobody":      {approver, []func(*iifv1.AddFigureRequest){y25, number("", "HI-03", iifv1.ValueField_NATIONAL_PREVALENCE_PERCENT, "0")}, "DECIMAL_MALFORMED"},
			"more than everybody":         {approver, []func(*iifv1.AddFigureRequest){y25, number("", "HI-03", iifv1.ValueField_NATIONAL_PREVALENCE_PERCENT, "101")}, "DECIMAL_MALFORMED"},
			"a prevalence of a version":   {approver, []func(*iifv1.AddFigureRequest){y25, hi03(iifv1.ValueField_NATIONAL_PREVALENCE_PERCENT, "0.5")}, "FIGURE_SUBJECT_INVALID"},
			"a prevalence of none":        {approver, []func(*iifv1.AddFigureRequest){y25, number("", "HI-09", iifv1.ValueField_NATIONAL_PREVALENCE_PERCENT, "0.5")}, "INDICATOR_UNKNOWN"},
			"an average of a practice":    {approver, []func(*iifv1.AddFigureRequest){y25, list(func(v *iifv1.SchemeValue) { v.Value = "4950" })}, "DECIMAL_MALFORMED"},
			"an average of an indicator":  {approver, []func(*iifv1.AddFigureRequest){y25, list(func(v *iifv1.SchemeValue) { v.IndicatorCode = "HI-03" })}, "FIGURE_SUBJECT_INVALID"},
			"an average of no day":        {approver, []func(*iifv1.AddFigureRequest){y25, list(func(v *iifv1.SchemeValue) { v.ListDate = "2025-02-30" })}, "DATE_MALFORMED"},
			"a version of other days":     {approver, []func(*iifv1.AddFigureRequest){schemeVersion(func(v *iifv1.SchemeVersion) { v.FromDate = "2026-03-31" })}, "FIGURE_PERIOD_INVALID"},
			"a version without days":      {approver, []func(*iifv1.AddFigureRequest){schemeVersion(func(v *iifv1.SchemeVersion) { v.FromDate = "" })}, "FIGURE_PERIOD_INVALID"},
			"a version back to front":     {approver, []func(*iifv1.AddFigureRequest){schemeVersion(func(v *iifv1.SchemeVersion) { v.ToDate = "2026-03-31" })}, "FIGURE_PERIOD_INVALID"},
			"a version beyond its year":   {approver, []func(*iifv1.AddFigureRequest){schemeVersion(func(v *iifv1.SchemeVersion) { v.ToDate = "2027-04-01" })}, "FIGURE_PERIOD_INVALID"},
			"a version across another":    {approver, []func(*iifv1.AddFigureRequest){schemeVersion(func(v *iifv1.SchemeVersion) { v.FromDate = "2026-04-02" })}, "FIGURE_PERIOD_INVALID"},
			"a version of a strange name": {approver, []func(*iifv1.AddFigureRequest){schemeVersion(func(v *iifv1.SchemeVersion) { v.VersionId = "IIF-2025-04" })}, "FIGURE_SUBJECT_INVALID"},
			"points of nothing at most":   {approver, []func(*iifv1.AddFigureRequest){schemeVersion(func(v *iifv1.SchemeVersion) { v.Points, v.PointsAtMost = "", true })}, "FIGURE_SUBJECT_INVALID"},
			"too many points":             {approver, []func(*iifv1.AddFigureRequest){schemeVersion(func(v *iifv1.SchemeVersion) { v.Points = "58000" })}, "DECIMAL_MALFORMED"},
			"fewer than no indicators":    {approver, []func(*iifv1.AddFigureRequest){schemeVersion(func(v *iifv1.SchemeVersion) { v.PayingIndicators = -1 })}, "DECIMAL_MALFORMED"},
			"a rounding of none":          {approver, []func(*iifv1.AddFigureRequest){schemeVersion(func(v *iifv1.SchemeVersion) { v.Rounding = "UP" })}, "SETTING_INVALID"},
			"an indicator of no version":  {approver, []func(*iifv1.AddFigureRequest){indicator(func(i *iifv1.SchemeIndicator) { i.VersionId = "IIF-2026-10" })}, "FIGURE_SUBJECT_INVALID"},
			"an indicator of no code":     {approver, []func(*iifv1.AddFigureRequest){indicator(func(i *iifv1.SchemeIndicator) { i.IndicatorCode = "" })}, "FIGURE_SUBJECT_INVALID"},
			"a code of digits":            {approver, []func(*iifv1.AddFigureRequest){indicator(func(i *iifv1.SchemeIndicator) { i.IndicatorCode = "07-HI" })}, "FIGURE_SUBJECT_INVALID"},
			"an indicator of no name":     {approver, []func(*iifv1.AddFigureRequest){indicator(func(i *iifv1.SchemeIndicator) { i.Name = " " })}, "FIGURE_SUBJECT_INVALID"},
			"an indicator of no area":     {approver, []func(*iifv1.AddFigureRequest){indicator(func(i *iifv1.SchemeIndicator) { i.Area = "" })}, "FIGURE_SUBJECT_INVALID"},
			"an indicator of no kind":     {approver, []func(*iifv1.AddFigureRequest){indicator(func(i *iifv1.SchemeIndicator) { i.Kind = 0 })}, "FIGURE_SUBJECT_INVALID"},
			"undefined and official":      {approver, []func(*iifv1.AddFigureRequest){indicator(func(i *iifv1.SchemeIndicator) { i.Kind = iifv1.IndicatorKind_UNDEFINED })}, "FIGURE_SUBJECT_INVALID"},
			"defined and unknown":         {approver, []func(*iifv1.AddFigureRequest){indicator(func(*iifv1.SchemeIndicator) {}), held(unknown)}, "FIGURE_SUBJECT_INVALID"},
			"no direction":                {approver, []func(*iifv1.AddFigureRequest){indicator(func(i *iifv1.SchemeIndicator) { i.Direction = 0 })}, "FIGURE_SUBJECT_INVALID"},
			"no status":                   {approver, []func(*iifv1.AddFigureRequest){indicator(func(i *iifv1.SchemeIndicator) { i.Status = 0 })}, "FIGURE_SUBJECT_INVALID"},
			"overridden by itself":        {approver, []func(*iifv1.AddFigureRequest){indicator(func(i *iifv1.SchemeIndicator) { i.Status = iifv1.IndicatorStatus_OVERRIDDEN })}, "FIGURE_SUBJECT_INVALID"},
			"replaced and active":         {approver, []func(*iifv1.AddFigureRequest){indicator(func(i *iifv1.SchemeIndicator) { i.ReplacedBy = "CAN-04" })}, "FIGURE_SUBJECT_INVALID"},
			"replaced by none":            {approver, []func(*iifv1.AddFigureRequest){indicator(func(i *iifv1.SchemeIndicator) { i.Status, i.ReplacedBy = iifv1.IndicatorStatus_RETIRED, "CAN-09" })}, "FIGURE_SUBJECT_INVALID"},
			"no feed":                     {approver, []func(*iifv1.AddFigureRequest){indicator(func(i *iifv1.SchemeIndicator) { i.NumeratorFrom = 0 })}, "FIGURE_SUBJECT_INVALID"},
			"a percentage of ticks":       {approver, []func(*iifv1.AddFigureRequest){indicator(func(i *iifv1.SchemeIndicator) { i.NumeratorFrom = iifv1.CountsFeed_TICK })}, "FIGURE_SUBJECT_INVALID"},
			"no denominator":              {approver, []func(*iifv1.AddFigureRequest){indicator(func(i *iifv1.SchemeIndicator) { i.DenominatorFrom = 0 })}, "FIGURE_SUBJECT_INVALID"},
			"ticks below":                 {approver, []func(*iifv1.AddFigureRequest){indicator(func(i *iifv1.SchemeIndicator) { i.DenominatorFrom = iifv1.CountsFeed_TICK })}, "FIGURE_SUBJECT_INVALID"},
			"counted before its year":     {approver, []func(*iifv1.AddFigureRequest){indicator(func(i *iifv1.SchemeIndicator) { i.CountsFrom = "2026-03-31" })}, "FIGURE_PERIOD_INVALID"},
			"judged after its year":       {approver, []func(*iifv1.AddFigureRequest){indicator(func(i *iifv1.SchemeIndicator) { i.JudgedOn = []string{"2027-03-31", "2027-04-01"} })}, "FIGURE_PERIOD_INVALID"},
			"judged on no day":            {approver, []func(*iifv1.AddFigureRequest){indicator(func(i *iifv1.SchemeIndicator) { i.JudgedOn = []string{"31 March"} })}, "DATE_MALFORMED"},
			"the name of another": {approver, []func(*iifv1.AddFigureRequest){y25, indicator(func(i *iifv1.SchemeIndicator) {
				i.VersionId, i.IndicatorCode, i.CqrsCode = "IIF-2025-04", "HI-04", "HI03"
			})}, "FIGURE_SUBJECT_INVALID"},
			"a field in words":        {approver, []func(*iifv1.AddFigureRequest){indicator(func(i *iifv1.SchemeIndicator) { i.Exclusions = []string{"too young"} })}, "FIGURE_SUBJECT_INVALID"},
			"a field twice":           {approver, []func(*iifv1.AddFigureRequest){indicator(func(i *iifv1.SchemeIndicator) { i.Exclusions, i.Adjustments = []string{"LD_DAT"}, []string{"LD_DAT"} })}, "FIELD_MISPLACED"},
			"more than all":           {approver, []func(*iifv1.AddFigureRequest){of("2023-24"), override("ACC-08", "1.1")}, "DECIMAL_MALFORMED"},
			"less than nothing":       {approver, []func(*iifv1.AddFigureRequest){of("2023-24"), override("ACC-08", "-0.1")}, "DECIMAL_MALFORMED"},
			"an override of none":     {approver, []func(*iifv1.AddFigureRequest){of("2023-24"), override("ACC-99", "1")}, "INDICATOR_UNKNOWN"},
			"an override of no share": {approver, []func(*iifv1.AddFigureRequest){of("2023-24"), override("HI-03", "")}, "FIGURE_VALUE_REQUIRED"},
			"paid before approved":    {approver, []func(*iifv1.AddFigureRequest){y25, paymentRun("2026-06-20", "2026-06-05", false)}, "FIGURE_PERIOD_INVALID"},
			"a run without approval":  {approver, []func(*iifv1.AddFigureRequest){y25, paymentRun("", "2026-06-05", false)}, "FIGURE_SUBJECT_INVALID"},
			"a deadline of approval":  {approver, []func(*iifv1.AddFigureRequest){y25, paymentRun("2026-06-01", "2026-06-05", true)}, "FIGURE_SUBJECT_INVALID"},
			"paid before it is over":  {approver, []func(*iifv1.AddFigureRequest){y25, paymentRun("2026-03-05", "2026-03-20", false)}, "FIGURE_PERIOD_INVALID"},
			"paid in another age":     {approver, []func(*iifv1.AddFigureRequest){y25, paymentRun("2026-06-05", "2062-06-20", false)}, "FIGURE_PERIOD_INVALID"},
		} {
			_, why := s.tryAdd(t, c.who, figure(c.parts...))
			require.Equal(t, c.want, why, name)
		}
		_, err := s.iif.AddFigure(s.as(t, testkit.Approver("QJK")), figure(y25, hi03(iifv1.ValueField_POINTS, "36"), func(r *iifv1.AddFigureRequest) { r.RequestId = "x" }))
		require.Equal(t, codes.PermissionDenied, status.Code(err), "who holds a commissioner does not speak for England")
		require.Zero(t, s.count(t, `outbox`))
		require.Zero(t, s.count(t, `figures WHERE recorded_by <> 'published tables'`))
		for name, parts := range map[string][]func(*iifv1.AddFigureRequest){
			"undefined":   {indicator(func(i *iifv1.SchemeIndicator) { i.Kind, i.Direction = iifv1.IndicatorKind_UNDEFINED, 0 }), held(unknown)},
			"an average":  {y25, list(func(*iifv1.SchemeValue) {})},
			"no override": {of("2023-24"), override("ACC-08", "0")},
		} {
			_, why := s.tryAdd(t, approver, figure(parts...))
			require.Empty(t, why, name)
		}
	})
}

func TestListFigures_ReadsPageByPage(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		req := &iifv1.ListFiguresRequest{FinancialYear: "2022-23", Kind: iifv1.FigureKind_VALUE, PageSize: 50, IncludeSuperseded: true}
		var seen []string
		for {
			out, err := s.iif.ListFigures(s.as(t, testkit.PCNManager("U1")), req)
			require.NoError(t, err)
			for _, f := range out.GetFigures() {
				require.Equal(t, "2022-23", f.GetFinancialYear())
				seen = append(seen, f.GetFigureId())
			}
			if req.PageToken = out.GetNextPageToken(); req.GetPageToken() == "" {
				break
			}
		}
		require.True(t, slices.IsSorted(seen))
		require.Len(t, slices.Compact(seen), s.count(t, `figures WHERE kind = 1 AND financial_year = '2022/23'`))
		for _, bad := range []*iifv1.ListFiguresRequest{{PageToken: "x"}, {FinancialYear: "2022-24"}} {
			_, err := s.iif.ListFigures(s.as(t, testkit.Auditor("*")), bad)
			require.NotEmpty(t, reason(err))
		}
	})
}

func TestSetSetting_ChangesHowAVersionRounds(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		set := func(who auth.Principal, commissioner, name, value string) (*iifv1.SchemeSetting, error) {
			return s.iif.SetSetting(s.as(t, who), &iifv1.SetSettingRequest{
				RequestId: s.next(), CommissionerCode: commissioner, VersionId: "IIF-2025-04", Name: name, Value: value, Reason: "letter",
			})
		}
		national, err := set(testkit.Approver("*"), "", "ROUNDING", "HALF_EVEN")
		require.NoError(t, err)
		own, err := set(testkit.Approver("QJK"), "QJK", "ROUNDING_PLACE", "POINTS_AND_INDICATOR")
		require.NoError(t, err)
		require.Equal(t, "QJK", own.GetCommissionerCode())
		got := s.governs(t, &iifv1.GetSchemeRequest{FinancialYear: "2025-26", CommissionerCode: "QJK"})
		require.Equal(t, []string{"HALF_EVEN", "POINTS_AND_INDICATOR"}, []string{got.GetRounding(), got.GetRoundingPlace()})
		require.Equal(t, []string{national.GetSettingId(), own.GetSettingId()}, got.GetSettingIds())
		before := s.governs(t, &iifv1.GetSchemeRequest{FinancialYear: "2025-26", CommissionerCode: "QJK", KnownOn: "2026-01-14"})
		require.Equal(t, []string{"HALF_UP", "INDICATOR"}, []string{before.GetRounding(), before.GetRoundingPlace()})
		require.Equal(t, "INDICATOR", s.governs(t, &iifv1.GetSchemeRequest{FinancialYear: "2025-26", CommissionerCode: "QT6"}).GetRoundingPlace())

		at := s.terms(t, rules.Query{Year: 2025, Commissioner: "QJK"}, 0)
		at.Average.Value, at.Incomplete = &rules.Value{Figure: rules.Figure{ID: "a", Confidence: working.Official}, Key: at.Average.Key, Amount: big.NewRat(50_000, 1)}, nil
		it, _ := at.Find("CAN-04")
		it.Prevalent.Value = &rules.Value{Figure: rules.Figure{ID: "p", Confidence: working.Official}, Key: it.Prevalent.Key, Amount: new(big.Rat)}
		paid, err := rules.Assess(at, it, listed50k(), &rules.Counts{Numerator: rules.Count(41), Denominator: rules.Count(60)})
		require.NoError(t, err)
		require.Equal(t, "968.22", paid.Due.Amount.Plain(), "4.89 points of 22 × (68.333 − 65) ÷ 15, × £198")

		last, err := set(testkit.Approver("*"), "", "ROUNDING", "DOWN")
		require.NoError(t, err)
		require.Equal(t, "DOWN", s.governs(t, &iifv1.GetSchemeRequest{FinancialYear: "2025-26"}).GetRounding(), "of one day the last holds")
		_, position, err := s.service.SchemeUpTo(t.Context(), 0)
		require.NoError(t, err)
		was := s.terms(t, rules.Query{Year: 2025, Commissioner: "QT6"}, position-1)
		require.Equal(t, []string{national.GetSettingId()}, was.Version.Rounding.SettingIDs)
		ids := func(who auth.Principal, commissioner string) (out []string) {
			req := &iifv1.ListSettingsRequest{CommissionerCode: commissioner, PageSize: 1}
			for {
				page, err := s.iif.ListSettings(s.as(t, who), req)
				require.NoError(t, err)
				for _, setting := range page.GetSettings() {
					out = append(out, setting.GetSettingId())
				}
				if req.PageToken = page.GetNextPageToken(); req.GetPageToken() == "" {
					return out
				}
			}
		}
		require.Equal(t, []string{national.GetSettingId(), own.GetSettingId(), last.GetSettingId()}, ids(testkit.Auditor("*"), ""))
		require.Equal(t, []string{national.GetSettingId(), own.GetSettingId(), last.GetSettingId()}, ids(testkit.Auditor("QJK"), "QJK"))
		require.Equal(t, []string{national.GetSettingId(), last.GetSettingId()}, ids(testkit.Auditor("QT6"), ""))
		_, err = s.iif.ListSettings(s.as(t, testkit.Auditor("QT6")), &iifv1.ListSettingsRequest{CommissionerCode: "QJK"})
		require.Equal(t, auth.ReasonNotFound, reason(err))
		require.Equal(t, 1, s.count(t, `audit WHERE resource = $1`, "iif/settings/"+own.GetSettingId()))
	})
}

func TestSetSetting_RefusesWhatNoVersionTakes(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		for _, c := range []struct{ version, name, value, want string }{
			{"IIF-2025-04", "ROUNDING", "UP", "SETTING_INVALID"},
			{"IIF-2025-04", "ROUNDING", "INDICATOR", "SETTING_INVALID"},
			{"IIF-2025-04", "PRICE", "198", "SETTING_INVALID"},
			{"IIF-2025-05", "ROUNDING", "DOWN", "FIGURE_SUBJECT_INVALID"},
		} {
			_, err := s.iif.SetSetting(s.as(t, testkit.Approver("*")), &iifv1.SetSettingRequest{
				RequestId: s.next(), VersionId: c.version, Name: c.name, Value: c.value, Reason: "letter",
			})
			require.Equal(t, c.want, reason(err), "%+v", c)
		}
		require.Zero(t, s.count(t, `settings`))
	})
}

// Positions number figures and settings together, and a position cuts off everything after it.
func TestScheme_IsAsItStoodAtAPosition(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		seeded, first, err := s.service.SchemeUpTo(t.Context(), 0)
		require.NoError(t, err)
		s.enter2026(t, by(""), func(id string) {
			_, err := s.confirm(t, id)
			require.NoError(t, err)
		})
		_, err = s.iif.SetSetting(s.as(t, testkit.Approver("*")), &iifv1.SetSettingRequest{
			RequestId: s.next(), VersionId: "IIF-2026-04", Name: "ROUNDING", Value: "DOWN", Reason: "letter",
		})
		require.NoError(t, err)
		all, last, err := s.service.SchemeUpTo(t.Context(), 0)
		require.NoError(t, err)
		require.Equal(t, first+int64(len(all.Settings)+s.count(t, `figures WHERE recorded_by <> 'published tables'`)), last)
		again, position, err := s.service.SchemeUpTo(t.Context(), first)
		require.NoError(t, err)
		require.Equal(t, first, position)
		require.Equal(t, plain(seeded), plain(again))
		require.Empty(t, again.Settings)
		without, _, err := s.service.SchemeUpTo(t.Context(), last-1)
		require.NoError(t, err)
		require.Equal(t, plain(all), plain(without))
		require.Empty(t, without.Settings)
		_, beyond, err := s.service.SchemeUpTo(t.Context(), last+10)
		require.NoError(t, err)
		require.Equal(t, last, beyond)
	})
}

// A year is worked out again in the transaction that adds a figure. Where that fails, another figure takes its position, perhaps one
// that another process adds.
func TestScheme_ForgetsARowThatWasNeverCommitted(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		failed := errors.New("the transaction fails")
		add := func(id, points string, outcome error) error {
			return s.db.Write(t.Context(), func(tx *sqldb.Tx) error {
				row, err := store.Figure(t.Context(), tx, "IIF-2025-04-HI-03:points")
				if err != nil {
					return err
				}
				row.ID, row.Body.GetValue().Value, row.KnownAt = id, points, sqldb.Micros(tx.Now())
				if err := store.InsertFigures(t.Context(), tx, []store.FigureRow{row}); err != nil || outcome == nil {
					return err
				}
				seen, position, err := s.service.SchemeIn(t.Context(), tx, 0)
				if err != nil {
					return err
				}
				if last := seen.Values[len(seen.Values)-1]; last.ID != id || last.Position != position {
					return fmt.Errorf("the last value is %s", last.ID)
				}
				return outcome
			})
		}
		require.ErrorIs(t, add("lost", "1", failed), failed)
		require.NoError(t, add("kept", "37", nil))
		at := s.terms(t, rules.Query{Year: 2025, Commissioner: "QJK"}, 0)
		it, _ := at.Find("HI-03")
		require.Equal(t, "37", it.Points.Value.Amount.RatString())
	})
}

// A year of which the tables hold nothing is entered all the same, and a candidate that was wrong is in nobody's way.
func TestAddFigure_BeginsAYearBesideAWrongCandidate(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.clock.Set(time.Date(2026, time.May, 1, 9, 0, 0, 0, time.UTC))
		from := func(day string) func(*iifv1.AddFigureRequest) {
			return schemeVersion(func(v *iifv1.SchemeVersion) { v.FromDate, v.ToDate = day, "2028-03-31" })
		}
		_, err := s.iif.GetScheme(s.as(t, testkit.Auditor("*")), &iifv1.GetSchemeRequest{FinancialYear: "2027-28"})
		require.Equal(t, "SCHEME_VERSION_UNKNOWN", reason(err))
		wrong := s.addAs(t, testkit.Preparer("*"), of("2027-28"), from("2027-05-01"), held(candidate))
		got := s.governs(t, &iifv1.GetSchemeRequest{FinancialYear: "2027-28"})
		require.Contains(t, got.GetIncomplete().GetRemedy(), "confirm candidate "+wrong.GetFigureId())
		s.addAs(t, testkit.Preparer("*"), of("2027-28"), indicator(func(i *iifv1.SchemeIndicator) { i.VersionId = "IIF-2027-05" }), held(candidate))
		right := s.add(t, of("2027-28"), from("2027-04-01"))
		require.Equal(t, "IIF-2027-04", right.GetVersion().GetVersionId())
		_, err = s.confirm(t, wrong.GetFigureId())
		require.Equal(t, "FIGURE_PERIOD_INVALID", reason(err))
		got = s.governs(t, &iifv1.GetSchemeRequest{FinancialYear: "2027-28"})
		require.Equal(t, right.GetFigureId(), got.GetVersion().GetFigureId())
		require.Equal(t, "SCHEME_VERSION_INCOMPLETE", got.GetIncomplete().GetReason())
	})
}
