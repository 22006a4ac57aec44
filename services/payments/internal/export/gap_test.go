package export_test

import (
	"bytes"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/export"
)

// bare takes from a batch everything that a commissioner has to settle.
func bare() *export.Batch {
	batch := realistic()
	batch.AccountingDate, batch.PayOn = period.Date{}, period.Date{}
	for i := range batch.Payments {
		payment := &batch.Payments[i]
		payment.Supplier = export.Supplier{}
		for j := range payment.Lines {
			payment.Lines[j].Codes, payment.Lines[j].VAT = export.Segments{}, export.VAT{}
		}
	}
	return batch
}

func TestMissing_NamesNothingThatIsThere(t *testing.T) {
	t.Parallel()
	for name, profile := range sheets(t) {
		require.Nil(t, export.Missing(profile, realistic(), coding()), name)
	}
	require.Nil(t, export.Missing(layout(t, export.Pain001), realistic(), coding()))
}

// TestMissing_NamesEverythingAtOnce holds the number of gaps of each kind in a batch for which nothing is settled.
func TestMissing_NamesEverythingAtOnce(t *testing.T) {
	t.Parallel()
	// Streams by financial year: ARRS, clinical director, core this year, core last year, core recovered, development, NPP.
	const streams, segments, payees = 7, 6, 3
	cases := map[export.Format]map[export.GapKind]int{
		export.Journal: {
			export.GapSetting: 2 + 5 + 1, export.GapSegment: streams * segments, export.GapVATTreatment: streams,
		},
		export.PayablesInvoices: {
			export.GapSetting: 1 + 1, export.GapSegment: streams * segments, export.GapVATTreatment: streams, export.GapSupplier: 2 * payees,
		},
		export.PCSEVariation: {export.GapSetting: 1},
		export.Remittance:    {export.GapSetting: 1},
		export.Transparency:  {export.GapSetting: 2},
		export.Pain001:       {export.GapSetting: 3, export.GapAccount: payees},
	}
	for format, want := range cases {
		t.Run(string(format), func(t *testing.T) {
			t.Parallel()
			gaps := export.Missing(layout(t, format), bare(), &export.Coding{})
			got := make(map[export.GapKind]int)
			for _, gap := range gaps {
				got[gap.Kind]++
				require.Equal(t, "16C", gap.Commissioner)
				require.Contains(t, gap.String(), "16C has no")
			}
			require.Equal(t, want, got)
			require.Equal(t, gaps, export.Missing(layout(t, format), shuffled(bare()), &export.Coding{}), "always in one order")

			var out bytes.Buffer
			f, ok := fault.As(export.Render(&out, layout(t, format), bare(), &export.Coding{}))
			if assert.True(t, ok) {
				require.Equal(t, fault.Refused, f.Kind)
				require.Equal(t, export.ReasonIncomplete, f.Reason)
				require.Equal(t, strconv.Itoa(len(gaps)), f.Meta["gaps"])
				for _, gap := range gaps {
					require.True(t, slices.ContainsFunc(f.Violations, func(v fault.Violation) bool {
						return v.Field == strings.ToLower(string(gap.Kind)) && strings.Contains(v.Description, gap.What) &&
							strings.Contains(v.Description, gap.PaymentCode) && strings.Contains(v.Description, gap.Payee.Code)
					}), "%s is not named", gap)
				}
			}
			require.Empty(t, out.Bytes())
		})
	}
}

// TestMissing_SaysWhatWaits holds that a gap is named once, with who waits for it and how much.
func TestMissing_SaysWhatWaits(t *testing.T) {
	t.Parallel()
	batch := realistic()
	for i := range batch.Payments {
		for j := range batch.Payments[i].Lines {
			if line := &batch.Payments[i].Lines[j]; line.PaymentCode == "CORE_PCN" {
				line.Codes.Analysis1 = ""
			}
		}
	}
	require.Equal(t, []export.Gap{
		{
			Kind: export.GapSegment, What: "analysis1", Commissioner: "16C", Fund: "core", PaymentCode: "CORE_PCN", FundingSource: "CCG_CORE",
			Year: 2021, Beneficiaries: []string{"U89141"}, Lines: 1, Amount: 120_25,
		},
		{
			Kind: export.GapSegment, What: "analysis1", Commissioner: "16C", Fund: "core", PaymentCode: "CORE_PCN", FundingSource: "CCG_CORE",
			Year: 2022, Beneficiaries: []string{"U56208", "U89141"}, Lines: 2, Amount: 10_729_25,
		},
		{
			Kind: export.GapSegment, What: "analysis1", Commissioner: "16C", Fund: "payments", PaymentCode: "CORE_PCN", FundingSource: "CCG_CORE",
			Year: 2021, Beneficiaries: []string{"A81004"}, Lines: 1, Amount: 250_00,
		},
	}, export.Missing(layout(t, export.Journal), batch, coding()))

	batch = realistic()
	batch.Payments[1].Supplier.Site = ""
	gaps := export.Missing(layout(t, export.PayablesInvoices), batch, coding())
	require.Equal(t, []export.Gap{
		{Kind: export.GapSupplier, What: "site", Commissioner: "16C", Payee: surgery, Lines: 1, Amount: 924_00},
	}, gaps)
	require.Equal(t, "16C has no supplier site for A81004 (1 waiting, £924.00)", gaps[0].String())
}

// TestMissing_AsksOnlyForWhatAColumnShows holds that a file needs no code that it does not carry.
func TestMissing_AsksOnlyForWhatAColumnShows(t *testing.T) {
	t.Parallel()
	profile := &export.Profile{
		Format: export.Journal, Delimiter: ',', DateFormat: export.DateISO, SignRule: export.DebitPositive,
		Columns: []export.Column{{Field: export.FieldSubjective}, {Field: export.FieldAmount}},
	}
	batch := realistic()
	for i := range batch.Payments {
		for j := range batch.Payments[i].Lines {
			batch.Payments[i].Lines[j].Codes.CostCentre = ""
		}
	}
	require.Nil(t, export.Missing(profile, batch, coding()))
	batch.Payments[0].Lines[0].Codes.Subjective = ""
	require.Len(t, export.Missing(profile, batch, coding()), 1)
}

func TestMissing_BlocksVATThatIsNotSettled(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		vat    export.VAT
		format export.Format
		reason string
		kind   export.GapKind
	}{
		"not assessed in a journal": {
			export.VAT{Treatment: export.NotAssessed, Code: "E1"}, export.Journal, export.ReasonIncomplete, export.GapVATTreatment,
		},
		"not assessed in an invoice": {
			export.VAT{Treatment: export.NotAssessed, Code: "E1"}, export.PayablesInvoices, export.ReasonIncomplete, export.GapVATTreatment,
		},
		"unheard of": {export.VAT{Treatment: "MARGIN", Code: "E1"}, export.Journal, export.ReasonIncomplete, export.GapVATTreatment},
		"standard without a rate": {
			export.VAT{Treatment: export.StandardRate, Code: "S1"}, export.PayablesInvoices, export.ReasonVATRateNotStated, export.GapVATRate,
		},
		"reduced without a rate": {
			export.VAT{Treatment: export.ReducedRate, Code: "R1"}, export.PayablesInvoices, export.ReasonVATRateNotStated, export.GapVATRate,
		},
		"zero without a code":          {export.VAT{Treatment: export.ZeroRated}, export.PayablesInvoices, export.ReasonIncomplete, export.GapSegment},
		"standard rate in a journal":   {export.VAT{Treatment: export.StandardRate, Code: "S1"}, export.Journal, "", ""},
		"not assessed in a remittance": {export.VAT{Treatment: export.NotAssessed}, export.Remittance, "", ""},
		"zero rated in an invoice":     {export.VAT{Treatment: export.ZeroRated, Code: "Z1"}, export.PayablesInvoices, "", ""},
		"not assessed in a bank file":  {export.VAT{Treatment: export.NotAssessed}, export.Pain001, "", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			batch := realistic()
			batch.Payments[0].Lines[0].VAT = c.vat
			err := export.Render(new(bytes.Buffer), layout(t, c.format), batch, coding())
			require.Equal(t, c.reason, fault.ReasonOf(err))
			gaps := export.Missing(layout(t, c.format), batch, coding())
			if c.kind == "" {
				require.Empty(t, gaps)
				return
			}
			require.Len(t, gaps, 1)
			require.Equal(t, c.kind, gaps[0].Kind)
			if c.kind == export.GapVATRate {
				require.ErrorContains(t, err, "instruct the run by a journal or a PCSE variation, or record another treatment")
			}
		})
	}
}

func TestMissing_CapsWhatWaits(t *testing.T) {
	t.Parallel()
	for _, amount := range []money.Pence{math.MaxInt64, math.MinInt64} {
		batch := bare()
		for j := range batch.Payments[0].Lines {
			batch.Payments[0].Lines[j].Amount = amount
		}
		seen := 0
		for _, gap := range export.Missing(layout(t, export.Journal), batch, coding()) {
			if gap.Kind == export.GapVATTreatment && gap.PaymentCode == "CORE_PCN" && gap.Lines == 2 {
				require.Equal(t, money.Pence(math.MaxInt64), gap.Amount)
				seen++
			}
		}
		require.Equal(t, 1, seen)
	}
}
