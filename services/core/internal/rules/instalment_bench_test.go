package rules

import (
	"math/big"
	"testing"

	"github.com/pcnfunding/pcnfunding/pkg/working"
)

func benchTerm(rate string, practices int) Term {
	value, _ := new(big.Rat).SetString(rate)
	term := Term{
		RateGBP: value, RateOrigin: working.Origin{Kind: working.FromRate, Ref: "CORE_PCN-2022-04", Source: "slides", Confidence: working.Official},
		Unit: "patients", Per: "registered_patient",
	}
	if practices == 0 {
		term.Population = Population{Value: big.NewRat(48124, 1), Origin: working.Origin{Kind: working.FromSnapshot, Ref: "load"}}
		return term
	}
	codes := []string{"A81001", "A81002", "A81003", "A81004", "A81005"}
	for _, code := range codes[:practices] {
		term.Population.Practices = append(term.Population.Practices,
			PracticePopulation{code, big.NewRat(9625, 1), working.Origin{Kind: working.FromSnapshot, Ref: "load"}})
	}
	return term
}

// BenchmarkInstalment measures one line with its working; the bound is in the project's performance goals (P5).
func BenchmarkInstalment(b *testing.B) {
	named := func(name string, t Term) Term { t.Name = name; return t }
	cases := []struct {
		name string
		in   InstalmentInput
	}{
		{"one_population", InstalmentInput{Terms: []Term{benchTerm("1.50", 0)}, Instalments: 12, Number: 1}},
		{"merged", InstalmentInput{Terms: []Term{named("REGISTERED", benchTerm("2.266", 0)), named("ADJUSTED", benchTerm("0.733", 0))}, Instalments: 12, Number: 1}},
		{"five_practices", InstalmentInput{Terms: []Term{benchTerm("1.50", 5)}, Instalments: 12, Number: 1}},
		{"practice_sum", InstalmentInput{Terms: []Term{benchTerm("1.50", 5)}, Instalments: 12, Number: 1, Convention: PracticeSum}},
		{"residual", InstalmentInput{Terms: []Term{benchTerm("1.50", 0)}, Instalments: 12, Number: 12, Convention: ResidualLast}},
	}
	for _, c := range cases {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := Instalment(c.in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
