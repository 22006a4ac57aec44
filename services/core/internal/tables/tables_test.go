package tables

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/table"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	"github.com/pcnfunding/pcnfunding/services/core/internal/rules"
)

func TestRates_HoldTheirPromises(t *testing.T) {
	t.Parallel()
	rates, err := Rates()
	require.NoError(t, err)
	require.Len(t, rates, 61)
	for _, rate := range rates {
		require.NotEmpty(t, rate.Source, rate.ID)
		require.NotEqual(t, working.Unstated, rate.Confidence, rate.ID)
		require.Equal(t, rules.England, rate.CommissionerCode, rate.ID)
		require.LessOrEqual(t, len(rate.ID), 128, rate.ID)
	}
}

func byID(t *testing.T) map[string]rules.Rate {
	t.Helper()
	rates, err := Rates()
	require.NoError(t, err)
	out := make(map[string]rules.Rate, len(rates))
	for _, rate := range rates {
		out[rate.ID] = rate
	}
	return out
}

func TestRates_HoldPublishedFigures(t *testing.T) {
	t.Parallel()
	rates := byID(t)
	cases := []struct {
		id, rate, monthly string
		from, to          string
		unit              rules.Unit
		source            string
	}{
		{"CORE_PCN-2019-04", "1.5", "0.125", "2019-04", "2020-03", rules.RegisteredPatient, CCGCoreAllocation},
		{"CORE_PCN-2021-04", "1.5", "", "2021-04", "2022-03", rules.RegisteredPatient, CCGCoreAllocation},
		{"CORE_PCN-2022-04", "1.5", "", "2022-04", "2023-03", rules.RegisteredPatient, PrimaryMedicalAllocation},
		{"CLINICAL_DIRECTOR-2019-07", "0.5143", "", "2019-07", "2020-03", rules.RegisteredPatient, PrimaryMedicalAllocation},
		{"CLINICAL_DIRECTOR-2022-04", "0.736", "0.061", "2022-04", "2023-03", rules.RegisteredPatient, PrimaryMedicalAllocation},
		{"CD_SUPPORT-2021-01", "0.542", "", "2021-01", "2021-03", rules.RegisteredPatient, NationalCOVID},
		{"EXTENDED_HOURS-2022-04", "0.72", "0.12", "2022-04", "2022-09", rules.RegisteredPatient, PrimaryMedicalAllocation},
		{"PCN_SUPPORT-2020-04", "0.27", "0.045", "2020-04", "2020-09", rules.WeightedPatient, PrimaryMedicalAllocation},
		{"LEADERSHIP_MANAGEMENT-2022-04", "0.699", "", "2022-04", "2023-03", rules.AdjustedPatient, LeadershipAllocation},
		{"CARE_HOME_PREMIUM-2020-08", "60", "7.5", "2020-08", "2021-03", rules.CareHomeBed, PrimaryMedicalAllocation},
		{"CARE_HOME_PREMIUM-2024-04-REVISED", "127.2", "10.6", "2024-04", "2025-03", rules.CareHomeBed, PrimaryMedicalAllocation},
		{"CORE_PCN-REGISTERED-2024-04-FIRST", "2.218", "", "2024-04", "2025-03", rules.RegisteredPatient, PrimaryMedicalAllocation},
		{"CORE_PCN-ADJUSTED-2025-04", "0.733", "", "2025-04", "2026-03", rules.AdjustedPatient, PrimaryMedicalAllocation},
		{"CASP-2025-04", "3.208", "", "2025-04", "2026-03", rules.AdjustedPatient, RedirectedIIF},
		{"NPP-2026-04", "1.761", "0.147", "2026-04", "2027-03", rules.WeightedPatient, PrimaryMedicalAllocation},
	}
	for _, c := range cases {
		rate, found := rates[c.id]
		require.True(t, found, c.id)
		require.Equal(t, c.rate, money.Format(rate.RateGBP), c.id)
		if c.monthly == "" {
			require.Nil(t, rate.MonthlyRateGBP, c.id)
		} else {
			require.Equal(t, c.monthly, money.Format(rate.MonthlyRateGBP), c.id)
		}
		require.Equal(t, c.from, rate.From.String(), c.id)
		require.Equal(t, c.to, rate.To.String(), c.id)
		require.Equal(t, c.unit, rate.Unit, c.id)
		require.Equal(t, c.source, rate.FundingSource, c.id)
		require.True(t, rate.Confidence.Payable(), c.id)
	}
}

func TestRates_NameWhatIsNotKnown(t *testing.T) {
	t.Parallel()
	rates := byID(t)
	for _, id := range []string{
		"EXTENDED_HOURS-2019-07", "CD_SUPPORT-2021-04", "PCN_SUPPORT-2021-12", "CASP-2022-10",
		"CORE_PCN-REGISTERED-2024-04-REVISED", "CORE_PCN-ADJUSTED-2024-04-REVISED",
		"CORE_PCN-REGISTERED-2026-04", "CORE_PCN-ADJUSTED-2026-04",
	} {
		rate, found := rates[id]
		require.True(t, found, id)
		require.Nil(t, rate.RateGBP, id)
		require.Equal(t, working.Unknown, rate.Confidence, id)
		require.False(t, rate.Confidence.Payable(), id)
		require.NotEmpty(t, rate.Note, id)
		delete(rates, id)
	}
	candidate := rates["LEADERSHIP_MANAGEMENT-2021-10"]
	require.Equal(t, working.Candidate, candidate.Confidence)
	require.Equal(t, "0.707", money.Format(candidate.RateGBP))
	delete(rates, candidate.ID)
	for id, rate := range rates {
		require.True(t, rate.Confidence.Payable(), id)
	}
}

func TestRates_DateFiguresByPublicationWhereItIsKnown(t *testing.T) {
	t.Parallel()
	rates := byID(t)
	for id, day := range map[string]string{
		"CORE_PCN-2019-04":                  "2019-06-05",
		"CD_SUPPORT-2021-01":                "2021-02-03",
		"ENHANCED_ACCESS-2024-04-FIRST":     "2024-03-28",
		"ENHANCED_ACCESS-2024-04-REVISED":   "2024-09-26",
		"CORE_PCN-ADJUSTED-2024-04-REVISED": "2024-09-26",
	} {
		require.Equal(t, day, rates[id].KnownFrom.String(), id)
		require.Equal(t, rules.KnownByPublication, rates[id].KnownFromBasis, id)
	}
	require.Equal(t, rules.KnownByEffectiveDate, rates["CORE_PCN-2022-04"].KnownFromBasis)
	require.Equal(t, period.NewMonth(2019, 7), rates["CORE_PCN-2019-04"].FirstPaidMonth)
	require.Equal(t, period.NewMonth(2019, 7), rates["NPP-2019-04"].FirstPaidMonth)
	require.True(t, rates["NPP-2019-04"].PaidToPractice)
	require.Equal(t, "2019-01-01", rates["NPP-2019-04"].PopulationDate.String())
}

func ratesCSV(t *testing.T) string {
	t.Helper()
	text, err := files.ReadFile("rates.csv")
	require.NoError(t, err)
	return string(text)
}

// opening gives a text for every table.
func opening(text string) table.Opener {
	return func(string) ([]byte, error) { return []byte(text), nil }
}

// TestParse_RefusesAnAlteredTable alters one cell of a sound table and expects the table to be refused for it.
func TestParse_RefusesAnAlteredTable(t *testing.T) {
	t.Parallel()
	cases := []struct{ name, old, altered, says string }{
		{"column renamed", "rate_id,payment_code", "id,payment_code", "other columns"},
		{"source left out", `,Hansard written answer 257552 (5 June 2019),current,official`, `,,current,official`, "source: it is empty"},
		{"confidence left out", "DES 2022/23 slide summary,current,secondary,2022-04-01,effective_date,\n", "DES 2022/23 slide summary,current,,2022-04-01,effective_date,\n", "confidence"},
		{"known figure left out", "2019-07-01,2020-03-31,0.51430", "2019-07-01,2020-03-31,", "exactly where the confidence is unknown"},
		{"exponent in a figure", ",0.51430,", ",5e-1,", "not a decimal"},
		{"negative figure", ",0.51430,", ",-0.51430,", "not positive"},
		{"period within a month", "2019-07-01,2020-03-31,0.51430", "2019-07-02,2020-03-31,0.51430", "whole months"},
		{"period turned round", "2019-07-01,2020-03-31,0.51430", "2020-07-01,2020-03-31,0.51430", "whole months"},
		{"gap", "2019-07-01,2020-03-31,0.51430", "2019-07-01,2020-02-29,0.51430", "no rate of CLINICAL_DIRECTOR covers 2020-03 to 2020-03"},
		{"overlap", "2019-07-01,2020-03-31,0.51430", "2019-07-01,2020-04-30,0.51430", "overlap"},
		{"identifier twice", "CLINICAL_DIRECTOR-2019-07,", "CORE_PCN-2019-04,", "stands twice"},
		{"unknown unit", "0.51430,,registered_patient", "0.51430,,patient", "is not a unit"},
		{"unknown timing", "0.51430,,registered_patient,monthly", "0.51430,,registered_patient,weekly", "is not a timing"},
		{"population date of beds", "60.00,7.50,care_home_bed,monthly,,,", "60.00,7.50,care_home_bed,monthly,,2020-01-01,", "not for beds"},
		{"population date left out", "0.51430,,registered_patient,monthly,,2019-01-01", "0.51430,,registered_patient,monthly,,", "it stands for patients"},
		{"first paid outside", "monthly,2019-07,2019-01-01,pcn", "monthly,2020-07,2019-01-01,pcn", "lies in the period"},
		{"account unknown", "practice,PRIMARY_MEDICAL_ALLOCATION", "practice,PETTY_CASH", "PETTY_CASH"},
		{"known from another day", "secondary,2022-04-01,effective_date", "secondary,2022-04-02,effective_date", "said to rest"},
		{"version label twice", "CARE_HOME_PREMIUM-2024-04-REVISED,CARE_HOME_PREMIUM,", "CARE_HOME_PREMIUM-2024-04-REVISED,ENHANCED_ACCESS,", "different terms"},
		{"component alone", "CORE_PCN-ADJUSTED-2025-04,CORE_PCN,ADJUSTED", "CORE_PCN-ADJUSTED-2025-04,OTHER,ADJUSTED", "stands alone"},
		{"component beside a plain rate", "CORE_PCN-ADJUSTED-2025-04,CORE_PCN,ADJUSTED", "CORE_PCN-ADJUSTED-2025-04,CORE_PCN,", "stands beside component"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			text := ratesCSV(t)
			require.Contains(t, text, c.old)
			_, err := parse(opening(strings.Replace(text, c.old, c.altered, 1)))
			require.ErrorContains(t, err, c.says)
		})
	}
}

func TestParse_ReportsEverythingAtOnce(t *testing.T) {
	t.Parallel()
	text := strings.NewReplacer(",0.51430,", ",x,", ",60.00,7.50,", ",y,7.50,").Replace(ratesCSV(t))
	_, err := parse(opening(text))
	require.ErrorContains(t, err, "CLINICAL_DIRECTOR-2019-07")
	require.ErrorContains(t, err, "CARE_HOME_PREMIUM-2020-08")
}

func TestParse_RefusesARowOfOtherLength(t *testing.T) {
	t.Parallel()
	_, err := parse(opening(ratesCSV(t) + "a,b\n"))
	require.ErrorContains(t, err, "wrong number of fields")
}

func TestRails_RefuseWhatTheyDoNotKnow(t *testing.T) {
	t.Parallel()
	const header = "payment_code,from_month,instruction,source\n"
	for row, says := range map[string]string{
		"CORE_PCN,2022-10,SOMETIMES,S\n": "SOMETIMES", "CORE_PCN,October,PAY,S\n": "from_month", ",2022-10,PAY,S\n": "payment_code: it is empty", "CORE_PCN,2022-10,PAY,\n": "source: it is empty",
	} {
		_, err := parseRails(opening(header + row))
		require.ErrorContains(t, err, says)
	}
	rails, err := Rails()
	require.NoError(t, err)
	require.NotEmpty(t, rails)
}
