package main

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"
)

// notActual heads whatever shows the counts that the sample models: nobody has published real ones.
const notActual = "modelled, not actual"

// modelledCounts is how the counts of an indicator are made. Rates are in parts of ten thousand.
type modelledCounts struct {
	code, cqrs string
	// register is what of the list belongs to the indicator, met what of that meets its target on average over practices, and adjusted
	// what of the rest has a personalised care adjustment.
	register, met, adjusted int64
	// field is the adjustment.
	field string
	// words say where the rates come from.
	words string
}

// whole of a rate.
const whole = 10_000

// spread is how far the rate of a practice lies from the average at most, in parts of ten thousand.
const spread = 2_500

// modelledIndicators are those that paid in 2023/24 and of which no counts of practices are published.
var modelledIndicators = []modelledCounts{
	{
		code: "VI-02", cqrs: "NCD003", register: 1000, met: 4140, adjusted: 7000, field: "FLUDEC_DAT",
		words: "VI-02: 10% of the list is aged 18 to 64 and at risk (assumed), of whom 41.4% were vaccinated (UKHSA, under 65 at risk, winter 2023 to 2024) and 70% of the others declined or were asked twice (assumed)",
	},
	{
		code: "VI-03", cqrs: "NCD004", register: 200, met: 4440, adjusted: 7000, field: "FLUDEC_DAT",
		words: "VI-03: 2% of the list is aged 2 or 3 (assumed), of whom 44.4% were vaccinated (UKHSA, winter 2023 to 2024) and 70% of the others declined or were asked twice (assumed)",
	},
	{
		code: "HI-03", cqrs: "NCD120", register: 50, met: 7160, adjusted: 500, field: "HLTHCHKDEC",
		words: "HI-03: 0.5% of the list has a learning disability and 79.6% of them had a check (NHS England, 2023-24), nine in ten of those with a plan and an ethnicity on record (assumed); 5% of the others declined (assumed)",
	},
	{
		code: "CAN-02", cqrs: "NCD123", register: 90, met: 7000, adjusted: 500, field: "FAECIMMDEC",
		words: "CAN-02: 0.9% of the list is referred for lower gastrointestinal cancer (assumed), 70% with a FIT result (between under 60% of June 2023 and almost 80% of June 2025, NICE); 5% of the others declined (assumed)",
	},
}

// achievementModel is what the counts of a year are made from, and what they come to.
type achievementModel struct {
	achievedOn string           // YYYY-MM-DD
	pcns       map[string]bool  // all there are
	lists      map[string]int64 // patients of each practice that is in a PCN
	// patients are all of them, and denominators what the model counts of them, by indicator.
	patients     int64
	denominators map[string]int64
}

// newAchievementModel reads the members and lists of the sample.
func newAchievementModel(achievedOn string, members, lists []byte) (*achievementModel, error) {
	m := &achievementModel{achievedOn: achievedOn, pcns: make(map[string]bool), lists: make(map[string]int64), denominators: make(map[string]int64)}
	in := make(map[string]bool)
	err := eachPacked(members, func(cell func(string) string) error {
		in[cell("PRACTICE_CODE")], m.pcns[cell("PCN_CODE")] = true, true
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the members: %w", err)
	}
	err = eachPacked(lists, func(cell func(string) string) error {
		n, err := strconv.ParseInt(cell("NUMBER_OF_PATIENTS"), 10, 64)
		if err == nil && in[cell("CODE")] {
			m.lists[cell("CODE")] = n
			m.patients += n
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the lists: %w", err)
	}
	if len(m.lists) != len(in) || len(m.pcns) == 0 {
		return nil, fmt.Errorf("%d of %d members of %d PCNs have a list", len(m.lists), len(in), len(m.pcns))
	}
	return m, nil
}

// eachPacked hands over the rows of a compressed CSV file, with their cells by the name of the column.
func eachPacked(packed []byte, each func(cell func(string) string) error) error {
	plain, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	rows := csv.NewReader(plain)
	rows.ReuseRecord = true
	header, err := rows.Read()
	if err != nil {
		return err
	}
	columns := make(map[string]int, len(header))
	for i, name := range header {
		columns[strings.Clone(name)] = i
	}
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = each(func(name string) string { return strings.Clone(row[columns[name]]) })
		}
		if err != nil {
			return err
		}
	}
}

// share returns a part of a number, rounded half up.
func share(n, parts int64) int64 { return (2*n*parts + whole) / (2 * whole) }

// rate returns what of its register a practice brings to the target: the average of the indicator, moved by what follows from the code
// of the practice, so that every run of the sample gives the same.
func (c *modelledCounts) rate(practice string) int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(c.code + " " + practice))
	// From -spread to spread.
	moved := int64(h.Sum64()%(2*spread+1)) - spread
	return min(whole, share(c.met, whole+moved))
}

// counted are the counts of an indicator of a practice.
type counted struct{ numerator, denominator, adjusted int64 }

func (c *modelledCounts) of(practice string, patients int64) counted {
	register := share(patients, c.register)
	met := share(register, c.rate(practice))
	adjusted := share(register-met, c.adjusted)
	return counted{numerator: met, denominator: register - adjusted, adjusted: adjusted}
}

var extractColumns = strings.Split("QUALITY_SERVICE,NAME,ORG_CODE,ACH_DATE,IND_CODE,FIELD_NAME,VALUE,DEFAULT_VALUES_USED,SUBMIT_USER_ID,SUBMIT_DATE,SUBMIT_TIME,LAST_SUBMISSION", ",")

// file writes the counts of all practices as an extract of CQRS.
func (m *achievementModel) file() ([]byte, error) {
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	_ = w.Write(extractColumns)
	day := strings.ReplaceAll(m.achievedOn, "-", "")
	submitted := day[6:] + "/" + day[4:6] + "/" + day[:4]
	for _, practice := range slices.Sorted(maps.Keys(m.lists)) {
		for i := range modelledIndicators {
			c := &modelledIndicators[i]
			n := c.of(practice, m.lists[practice])
			m.denominators[c.code] += n.denominator
			for _, cell := range []struct {
				field string
				value int64
			}{{"Numerator", n.numerator}, {"Denominator", n.denominator}, {c.field, n.adjusted}} {
				_ = w.Write([]string{"NCD2324", notActual, practice, day, c.cqrs, cell.field, strconv.FormatInt(cell.value, 10), "None", notActual, submitted, "00:00:00", "Y"})
			}
		}
	}
	w.Flush()
	return out.Bytes(), w.Error()
}

// average is the mean list of a PCN in whole patients.
func (m *achievementModel) average() string {
	return big.NewRat(m.patients, int64(len(m.pcns))).FloatString(0)
}

// prevalence is what the denominators of an indicator are of all patients, in percent; empty for one that is not modelled.
func (m *achievementModel) prevalence(code string) string {
	n, modelled := m.denominators[code]
	if !modelled || m.patients == 0 {
		return ""
	}
	const decimals = 6
	return big.NewRat(100*n, m.patients).FloatString(decimals)
}

// sortedNames returns the keys of a map by their values, largest first.
func sortedNames(of map[string]int) []string {
	return slices.SortedFunc(maps.Keys(of), func(a, b string) int { return cmp.Or(cmp.Compare(of[b], of[a]), strings.Compare(a, b)) })
}
