package rules

import (
	"math/bits"
	"strconv"
	"testing"
)

// Scales of the numbers of a bound line: a rate in millionths of a pound and a population in hundredths, so that their product
// counts hundred-millionths of a pound.
const (
	boundRatePlaces       = 6
	boundPopulationPlaces = 2
	boundProductPlaces    = boundRatePlaces + boundPopulationPlaces
	boundUnitsPerPenny    = 1_000_000
)

// boundLine is the least that a line with its working can be: one amount and the five numbers behind it, as text.
type boundLine struct {
	pence                                       uint64
	rate, population, period, month, instalment string
}

// boundInstalment multiplies in 128 bits, divides into months, rounds halves away from zero and writes the five numbers.
func boundInstalment(rate, population, months uint64) boundLine {
	hi, lo := bits.Mul64(rate, population)
	quotient, remainder := bits.Div64(hi, lo, months*boundUnitsPerPenny)
	if 2*remainder >= months*boundUnitsPerPenny {
		quotient++
	}
	month, _ := bits.Div64(hi, lo, months)
	return boundLine{
		pence: quotient,
		rate:  fixedPoint(rate, boundRatePlaces), population: fixedPoint(population, boundPopulationPlaces),
		period: fixedPoint(lo, boundProductPlaces), month: fixedPoint(month, boundProductPlaces), instalment: fixedPoint(quotient, 2),
	}
}

// fixedPoint writes a number with a decimal point.
func fixedPoint(value uint64, places int) string {
	var digits, out [32]byte
	text := strconv.AppendUint(digits[:0], value, 10)
	for len(text) <= places {
		text = append([]byte{'0'}, text...)
	}
	point := len(text) - places
	n := copy(out[:], text[:point])
	out[n] = '.'
	n += 1 + copy(out[n+1:], text[point:])
	return string(out[:n])
}

// BenchmarkBound is what BenchmarkInstalment is compared with: one line in 128-bit integers with five strings.
func BenchmarkBound(b *testing.B) {
	const rate, population = 1_500_000, 48_124_00
	want := boundLine{
		pence: 601_550, rate: "1.500000", population: "48124.00", period: "72186.00000000", month: "6015.50000000", instalment: "6015.50",
	}
	if got := boundInstalment(rate, population, 12); got != want {
		b.Fatalf("%+v, want %+v", got, want)
	}
	b.ReportAllocs()
	var line boundLine
	for b.Loop() {
		line = boundInstalment(rate, population, 12)
	}
	if line.pence != want.pence {
		b.Fatal(line.pence)
	}
}
