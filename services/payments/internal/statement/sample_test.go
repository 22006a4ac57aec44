package statement_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/statement"
)

var april = period.NewMonth(2022, time.April)

// empty is a statement of a month in which nothing happened.
func empty() *statement.Statement {
	return &statement.Statement{
		Commissioner: statement.Party{Code: "16C", Name: "NHS Tees Valley CCG"},
		PCN:          statement.Party{Code: "U89141", Name: "STOCKTON PCN"},
		Payee:        payee,
		Number:       "16C-U89141-2022-04", Period: "April 2022", From: april, To: april,
		DrawnUp: time.Date(2022, time.May, 5, 9, 30, 0, 0, time.UTC), KnownAt: time.Date(2022, time.May, 3, 17, 0, 0, 0, time.UTC),
	}
}

// payee is who receives what the PCN is paid.
var payee = statement.Party{Code: "A81002", Name: "Queens Park Medical Centre"}

func lineID(n int) string { return "core-" + fmt.Sprintf("%032x", 0x7f0c2b9a41d85e63+n) }

// pcnLines are what the PCN itself is paid for a month.
func pcnLines(month period.Month, first int) []statement.Line {
	of := func(n int, code, name, fund, rate, clause, confidence string, pence money.Pence) statement.Line {
		return statement.Line{
			LineID: lineID(first + n), PaymentCode: code, PaymentName: name, Month: month, ForMonth: month, Fund: "core", FundingSource: fund, Payee: payee,
			Factors: []statement.Factor{{
				RateGBP: rate, Per: "registered patient", Quantity: "53674", Unit: "registered patients", Source: "Network Contract DES 2022/23",
				Confidence: confidence,
			}},
			Instalments: 12, Convention: "rounded half up each month", Clause: clause, Amount: pence, Confidence: confidence, State: "paid",
		}
	}
	return []statement.Line{
		of(0, "CORE_PCN", "Core PCN funding", "PRIMARY_MEDICAL_ALLOCATION", "1.5", "clause 10.3", "official", 670925),
		of(1, "CLINICAL_DIRECTOR", "Clinical director payment", "PRIMARY_MEDICAL_ALLOCATION", "0.736", "clause 10.2", "official", 329200),
		of(2, "EXTENDED_HOURS", "Extended hours access payment", "PRIMARY_MEDICAL_ALLOCATION", "1.44", "clause 10.5", "secondary", 644088),
	}
}

// practiceLines are what practices are paid for taking part.
func practiceLines(month period.Month, first int) []statement.Line {
	var out []statement.Line
	for i, practice := range []struct {
		code, name, weighted string
		pence                money.Pence
	}{
		{"A81002", "Queens Park Medical Centre", "21034.56", 308682},
		{"A81034", "Thornaby and Barwick Medical Group", "17921.08", 262992},
		{"A81039", "Woodbridge Practice (formerly the Thornaby, Ingleby Barwick and Yarm Road Surgeries)", "14870.5", 218225},
	} {
		out = append(out, statement.Line{
			LineID: lineID(first + i), PaymentCode: "NPP", PaymentName: "Network participation payment", Month: month, ForMonth: month,
			Fund: "core", FundingSource: "PRIMARY_MEDICAL_ALLOCATION", PracticeCode: practice.code,
			Payee: statement.Party{Code: practice.code, Name: practice.name},
			Factors: []statement.Factor{{
				RateGBP: "1.761", Per: "weighted patient", Quantity: practice.weighted, Unit: "weighted patients", Clause: "SFE Part 7",
				Source: "Statement of Financial Entitlements", Confidence: "inferred",
			}},
			Instalments: 12, Amount: practice.pence, Confidence: "inferred", State: "sent",
		})
	}
	return out
}

func correction(run, forMonth period.Month, n int, pence money.Pence) statement.Line {
	return statement.Line{
		LineID: lineID(n), PaymentCode: "CORE_PCN", PaymentName: "Core PCN funding", Month: run, ForMonth: forMonth, Fund: "core", FundingSource: "CCG_CORE_ALLOCATION",
		Payee: payee,
		Factors: []statement.Factor{
			{RateGBP: "1.50", Per: "registered patient", Quantity: "114", Unit: "registered patients", Source: "list of 1 January 2021", Confidence: "official"},
		},
		Instalments: 12, Amount: pence, Adjusts: lineID(n - 900), Cause: "a list, weight or adjusted population has a new version",
		Confidence: "official", State: "approved",
	}
}

// filled is a month with something in every part.
func filled() *statement.Statement {
	s := empty()
	s.Opening = -12000
	s.Payee = statement.Party{Name: "Several payees"}
	s.Payments = append(pcnLines(april, 0), practiceLines(april, 10)...)
	s.Corrections = []statement.Line{
		correction(april, april.Add(-1), 1001, 1425),
		correction(april, april.Add(-2), 1002, -2850),
	}
	s.ReconcileOnly = practiceLines(april, 50)[:1]
	s.Recoveries = []statement.Recovery{
		{Payee: payee, BroughtForward: 12000, Recovered: 10000, CarriedForward: 2000},
		{Payee: statement.Party{Code: "A81034", Name: "Thornaby and Barwick Medical Group"}, Arisen: 2850, CarriedForward: 2850},
	}
	s.Held = []statement.HeldLine{{
		Line:  practiceLines(april, 10)[2],
		Codes: "PAYEE_NOT_RECORDED PLACED", Reason: "payee not recorded; the practice asked to wait", Remedy: "Record who receives the money for A81039, with the bank details that Finance holds.",
	}}
	s.Settled = []statement.Settlement{
		{Date: period.NewDate(2022, time.April, 27), Reference: "BACS 2022-04-0019", Payee: payee, State: "rejected", Amount: 1634463},
		{Date: period.NewDate(2022, time.April, 29), Reference: "BACS 2022-04-0023", Payee: payee, State: "paid", Amount: 1634463, Counts: true},
		{Date: period.NewDate(2022, time.April, 29), Reference: "BACS 2022-04-0024", Payee: statement.Party{Code: "A81034", Name: "Thornaby and Barwick Medical Group"}, State: "sent", Amount: 571674, Counts: true},
	}
	s.Entitlements = []statement.Entitlement{
		{PaymentCode: "CORE_PCN", PaymentName: "Core PCN funding", Period: "2022/23", Known: true, Year: 8051100, Scheduled: 670925, Remaining: 7380175, Confidence: "official"},
		{PaymentCode: "CLINICAL_DIRECTOR", PaymentName: "Clinical director payment", Period: "2022/23", Known: true, Year: 3950400, Scheduled: 329200, Remaining: 3621200, Confidence: "official"},
		{PaymentCode: "EXTENDED_HOURS", PaymentName: "Extended hours access payment", Period: "Apr to Sep 2022", Known: true, Year: 3864528, Scheduled: 644088, Remaining: 3220440, Confidence: "secondary"},
		{PaymentCode: "WINTER", PaymentName: "Winter PCN support", Period: "2022/23", Confidence: "unknown"},
	}
	s.Notes = []string{
		"Figures marked secondary or inferred do not come from an official publication. They are paid as they stand, and corrected line by line when the official figure is known.",
		"Queries: Môn Sŵn, Côté-Łukasz & Partners “Primary Care Finance”, Tŷ Gwyn.",
	}
	return settle(s)
}

// month is one as a PCN of seven practices mostly has it.
func month() *statement.Statement {
	s := empty()
	s.Payee = statement.Party{Name: "Several payees"}
	s.Payments = pcnLines(april, 0)
	for i := range 7 {
		line := practiceLines(april, 10+i)[0]
		s.Payments = append(s.Payments, line)
		s.Settled = append(s.Settled, statement.Settlement{
			Date: april.Last(), Reference: fmt.Sprintf("16C-2022-04-1-A8100%d", i), Payee: line.Payee, State: "sent", Amount: line.Amount, Counts: true,
		})
	}
	s.Entitlements = filled().Entitlements
	return settle(s)
}

// year is a financial year with a run in every month.
func year() *statement.Statement {
	s := empty()
	s.Number, s.Period, s.To = "16C-U89141-2022-23", "Financial year 2022/23", april.Add(11)
	s.Commissioner = statement.Party{Code: "QHM", Name: "NHS North East and North Cumbria Integrated Care Board"}
	s.PCN.Name = "STOCKTON, HARTLEPOOL BAY AND THE VILLAGES OF THE LOWER TEES VALLEY PRIMARY CARE NETWORK"
	s.DrawnUp, s.KnownAt = s.DrawnUp.AddDate(1, 0, 0), s.KnownAt.AddDate(1, 0, 0)
	for i := range 12 {
		month := april.Add(i)
		s.Payments = append(s.Payments, pcnLines(month, 100*i)...)
		s.Payments = append(s.Payments, practiceLines(month, 100*i+50)...)
		if i%4 == 1 {
			s.Corrections = append(s.Corrections, correction(month, month.Add(-1), 2000+i, 1425))
		}
		s.Settled = append(s.Settled, statement.Settlement{
			Date: month.Last(), Reference: fmt.Sprintf("BACS %s-0023", month), Payee: payee, State: "paid", Amount: 2433000, Counts: true,
		})
	}
	s.Entitlements = []statement.Entitlement{
		{PaymentCode: "CORE_PCN", PaymentName: "Core PCN funding", Period: "2022/23", Known: true, Year: 8051100, Scheduled: 8051100, Confidence: "official"},
		{PaymentCode: "NPP", PaymentName: "Network participation payment", Period: "2022/23", Known: true, Year: 9478800, Scheduled: 9478788, Remaining: 12, Confidence: "inferred"},
	}
	return settle(s)
}

// settle makes the sums agree.
func settle(s *statement.Statement) *statement.Statement {
	s.Total = 0
	for i := range s.Payments {
		s.Total += s.Payments[i].Amount
	}
	for i := range s.Corrections {
		s.Total += s.Corrections[i].Amount
	}
	s.Closing = s.Opening + s.Total
	for i := range s.Settled {
		if s.Settled[i].Counts {
			s.Closing -= s.Settled[i].Amount
		}
	}
	return s
}

var long = strings.Repeat("an unreasonably long name ", 400)
