package export_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/export"
)

var april = period.NewMonth(2022, time.April)

var (
	pcnNorth = export.Party{Code: "U89141", Name: "North Sample PCN"}
	pcnSouth = export.Party{Code: "U56208", Name: `South "Sample" PCN, Care & Health Ltd`}
	surgery  = export.Party{Code: "A81004", Name: "The Sample Surgery"}
)

// realistic is a run with several payees, a negative line, an adjustment, a recovery and a second ledger entity.
func realistic() *export.Batch {
	codes := func(subjective, analysis1 string) export.Segments {
		return export.Segments{
			Entity: "16C", CostCentre: "946141", Subjective: subjective, Analysis1: analysis1, Analysis2: "PRCPCN", Spare: "000000",
		}
	}
	elsewhere := codes("52161073", "U56208")
	elsewhere.Entity = "Q74"
	exempt := export.VAT{Treatment: export.Exempt, Code: "E1"}
	line := func(id, fund, payment, source string, pcn export.Party, amount money.Pence, basis string) export.Line {
		return export.Line{
			LineID: id, Kind: export.Scheduled, Fund: fund, PaymentCode: payment, FundingSource: source, ForMonth: april, PCN: pcn,
			Basis: basis, Amount: amount, Codes: codes("52161071", pcn.Code), VAT: exempt,
		}
	}
	north := []export.Line{
		line("ln-01", "core", "CORE_PCN", "CCG_CORE", pcnNorth, 6709_25, "£1.50 × 53,674 registered patients ÷ 12"),
		line("ln-02", "core", "CLINICAL_DIRECTOR", "PRIMARY_MEDICAL_CARE", pcnNorth, 3292_01, "£0.736 × 53,674 registered patients ÷ 12"),
		line("ln-03", "arrs", "ARRS_CLAIM", "PRIMARY_MEDICAL_CARE", pcnNorth, 21_480_50, "9 claims approved"),
		line("ln-04", "core", "CORE_PCN", "CCG_CORE", pcnNorth, -120_25, "difference to line ln-90"),
	}
	north[1].VAT = export.VAT{Treatment: export.OutsideScope, Code: "O0"}
	north[3].ForMonth, north[3].Adjusts, north[3].Cause = april.Add(-1), true, "POPULATION"
	south := []export.Line{
		line("ln-05", "core", "CORE_PCN", "CCG_CORE", pcnSouth, 4020_00, "£1.50 × 32,160 registered patients ÷ 12"),
		line("ln-06", "devfund", "DEVELOPMENT", "SERVICE_DEVELOPMENT", pcnSouth, 12_500_00, "share of the place's sum"),
	}
	south[1].Codes = elsewhere
	practice := []export.Line{
		line("ln-07", "core", "NPP", "PRIMARY_MEDICAL_CARE", pcnNorth, 1174_00, "£1.761 × 8,000 weighted patients ÷ 12"),
		line("ln-08", "payments", "CORE_PCN", "CCG_CORE", pcnNorth, -250_00, "first of 4 parts of £1,000.00"),
	}
	practice[0].PracticeCode, practice[1].PracticeCode = surgery.Code, surgery.Code
	practice[1].Kind, practice[1].ForMonth = export.Recovery, april.Add(-5)
	payment := func(payee export.Party, number string, net money.Pence, lines []export.Line) export.Payment {
		return export.Payment{
			Reference: "16C-2022-04-1-" + payee.Code, Payee: payee, Lines: lines, Net: net,
			Supplier: export.Supplier{Number: number, Site: "MAIN", PaymentGroup: "GP", AccountToken: "tok-" + strings.ToLower(payee.Code)},
		}
	}
	return &export.Batch{
		ExportID: "0198f4a2-6c11-7d3e-9b1f-2f6f0a7d4c55", Commissioner: export.Party{Code: "16C", Name: "NHS Tees Valley CCG"},
		Month: april, Number: 1, AccountingDate: period.NewDate(2022, time.April, 30), PayOn: period.NewDate(2022, time.May, 4),
		CreatedAt: time.Date(2022, time.April, 28, 9, 30, 0, 0, time.UTC),
		Payments: []export.Payment{
			payment(pcnNorth, "100234", 31_361_51, north),
			payment(surgery, "100871", 924_00, practice),
			payment(pcnSouth, "100555", 16_520_00, south),
		},
	}
}

func coding() *export.Coding {
	return &export.Coding{
		Control: export.Segments{
			Entity: "16C", CostCentre: "000000", Subjective: "22110001", Analysis1: "000000", Analysis2: "000000", Spare: "000000",
		},
		JournalSource: "PCN", JournalCategory: "PCN Funding", DepartmentFamily: "Department of Health and Social Care",
		Approver: "finance.approver", Payer: export.Payer{Name: "NHS Tees Valley CCG", AccountToken: "tok-payer"},
		ParticipationCodes: []string{"NPP"},
	}
}

func accounts() map[string]export.Account {
	return map[string]export.Account{
		"tok-payer":  {Name: "NHS Tees Valley CCG", SortCode: "100000", AccountNumber: "00000001"},
		"tok-u89141": {Name: "North Sample PCN", SortCode: "200000", AccountNumber: "00000012"},
		"tok-u56208": {Name: "Gofal Sylfaenol Tŷ'r Dref & Co", SortCode: "200000", AccountNumber: "00000023"},
		"tok-a81004": {Name: "The Sample Surgery", SortCode: "300000", AccountNumber: "00000034"},
	}
}

func layout(t require.TestingT, format export.Format) *export.Profile {
	profile, err := export.Default(format)
	require.NoError(t, err)
	return &profile
}

// sheets are the layouts that give CSV.
func sheets(t require.TestingT) map[string]*export.Profile {
	out := map[string]*export.Profile{}
	for _, rule := range []export.SignRule{export.DebitCredit, export.DebitPositive, export.CreditPositive} {
		profile := export.DefaultJournal(rule)
		out["journal_"+strings.ToLower(string(rule))] = &profile
	}
	older := export.OlderVariation()
	out["pcse_variation_older"] = &older
	for _, format := range []export.Format{export.PayablesInvoices, export.PCSEVariation, export.Remittance, export.Transparency} {
		out[strings.ToLower(string(format))] = layout(t, format)
	}
	return out
}

// shuffled turns the order of payments and lines round.
func shuffled(batch *export.Batch) *export.Batch {
	out := *batch
	out.Payments = slices.Clone(batch.Payments)
	slices.Reverse(out.Payments)
	for i := range out.Payments {
		out.Payments[i].Lines = slices.Clone(out.Payments[i].Lines)
		slices.Reverse(out.Payments[i].Lines)
	}
	return &out
}

func TestBatch_IsWhatItSays(t *testing.T) {
	t.Parallel()
	for _, payment := range realistic().Payments {
		var sum money.Pence
		for _, line := range payment.Lines {
			sum += line.Amount
		}
		require.Equal(t, payment.Net, sum, payment.Reference)
	}
}
