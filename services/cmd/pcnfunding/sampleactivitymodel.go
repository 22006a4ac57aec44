package main

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/services/sample"
)

// Types of department as files of attendances have them, and the HRG of the third.
const (
	departmentMajor  = "01"
	departmentSingle = "02"
	departmentOther  = "03"
	departmentWalkIn = "04"
	simplestHRG      = "VB11Z"
)

// attendanceFiles are the files of the sample that the model is made from.
type attendanceFiles struct{ providers, trusts, activity, members, lists []byte }

func readAttendanceFiles(of sample.Attendances) (f attendanceFiles, err error) {
	for _, part := range []struct {
		file sample.File
		into *[]byte
	}{{of.Providers, &f.providers}, {of.Trusts, &f.trusts}, {of.Activity, &f.activity}, {of.Members, &f.members}, {of.Lists, &f.lists}} {
		if *part.into, err = part.file.Read(); err != nil {
			return f, err
		}
	}
	return f, nil
}

// attendanceProvider is what a provider publishes of a month.
type attendanceProvider struct {
	code, name, region string
	// system is where a trust lies; empty for a provider that is none.
	system string
	// by is attendances, with appointment and without, by type of department.
	by map[string]int64
}

func (p *attendanceProvider) total() (n int64) {
	for _, of := range p.by {
		n += of
	}
	return n
}

// attendancePractice is whose patients may have come.
type attendancePractice struct {
	code, pcn                    string
	commissioner, system, region string
	patients                     int64
}

// attendanceRow is one row of the model, of an unknown practice where it has none.
type attendanceRow struct {
	commissioner, provider, department, practice, hrg string
	attendances                                       int64
}

// attendanceModel is the attendances of a month by practice.
type attendanceModel struct {
	month     string
	providers []attendanceProvider // by code, those with attendances
	practices []attendancePractice // by commissioner, PCN and code
	hrgs      []string
	activity  []*big.Rat // of each HRG
	rows      []attendanceRow
}

// newAttendanceModel spreads the attendances of providers over practices. Equal files give the same rows in the same order, in whatever
// order their own are.
func newAttendanceModel(month string, f attendanceFiles) (*attendanceModel, error) {
	m := &attendanceModel{month: month}
	if err := m.readProviders(f.providers, f.trusts); err != nil {
		return nil, fmt.Errorf("read the providers: %w", err)
	}
	if err := m.readActivity(f.activity); err != nil {
		return nil, fmt.Errorf("read the activity: %w", err)
	}
	if err := m.readPractices(f.members, f.lists); err != nil {
		return nil, fmt.Errorf("read the practices: %w", err)
	}
	for _, department := range []string{departmentMajor, departmentSingle, departmentOther, departmentWalkIn} {
		if err := errors.Join(m.spreadTrusts(department), m.spreadOthers(department)); err != nil {
			return nil, fmt.Errorf("spread the attendances of type %s: %w", department, err)
		}
	}
	return m, nil
}

// readProviders reads the publication, whose last row is the sum of the others.
func (m *attendanceModel) readProviders(packed, trusts []byte) error {
	systems := make(map[string]string)
	err := eachPacked(trusts, func(cell func(string) string) error {
		systems[cell("CODE")] = cell("HIGH_LEVEL_GEOGRAPHY")
		return nil
	})
	if err != nil {
		return err
	}
	var sum, stated int64
	err = eachPacked(packed, func(cell func(string) string) error {
		p := attendanceProvider{
			code: cell("Org Code"), name: strings.TrimSpace(cell("Org name")), system: systems[cell("Org Code")], by: make(map[string]int64),
			region: strings.TrimPrefix(strings.TrimSpace(cell("Parent Org")), "NHS ENGLAND "),
		}
		other := departmentOther
		if name := strings.ToUpper(p.name); strings.Contains(name, "WALK") || strings.HasSuffix(name, " WIC") {
			other = departmentWalkIn
		}
		for department, columns := range map[string][]string{
			departmentMajor:  {"A&E attendances Type 1", "A&E attendances Booked Appointments Type 1"},
			departmentSingle: {"A&E attendances Type 2", "A&E attendances Booked Appointments Type 2"},
			other:            {"A&E attendances Other A&E Department", "A&E attendances Booked Appointments Other Department"},
		} {
			for _, column := range columns {
				n, err := money.ParseWhole(cell(column))
				if err != nil {
					return err
				}
				p.by[department] += n
			}
		}
		switch {
		case p.code == "TOTAL":
			stated = p.total()
		case p.total() > 0:
			m.providers = append(m.providers, p)
			sum += p.total()
		}
		return nil
	})
	if err == nil && sum != stated {
		err = fmt.Errorf("the providers have %d attendances, their total %d", sum, stated)
	}
	slices.SortFunc(m.providers, func(a, b attendanceProvider) int { return cmp.Compare(a.code, b.code) })
	return err
}

func (m *attendanceModel) readActivity(packed []byte) error {
	of := make(map[string]*big.Rat)
	err := eachPacked(packed, func(cell func(string) string) (err error) {
		of[cell("currency_code")], err = money.ParseDecimal(cell("activity"))
		return err
	})
	for _, hrg := range slices.Sorted(maps.Keys(of)) {
		m.hrgs, m.activity = append(m.hrgs, hrg), append(m.activity, of[hrg])
	}
	return err
}

// readPractices reads the practices with a list. One that the mapping does not have is of the commissioner that its list names, in no PCN.
func (m *attendanceModel) readPractices(members, lists []byte) error {
	mapped, of := make(map[string]attendancePractice), make(map[string]attendancePractice)
	err := eachPacked(members, func(cell func(string) string) error {
		p := attendancePractice{
			code: cell("PRACTICE_CODE"), pcn: cell("PCN_CODE"), commissioner: cell("CCG_CODE"), system: cell("STP_CODE"), region: strings.ToUpper(cell("COMM_REGION_NAME")),
		}
		mapped[p.code], of[p.commissioner] = p, p
		return nil
	})
	if err != nil {
		return err
	}
	err = eachPacked(lists, func(cell func(string) string) (err error) {
		p, is := mapped[cell("CODE")]
		if !is {
			p = of[cell("CCG_CODE")]
			p.code, p.pcn = cell("CODE"), "U"
		}
		if p.patients, err = money.ParseWhole(cell("NUMBER_OF_PATIENTS")); err == nil && p.commissioner == "" {
			err = fmt.Errorf("%s is of %s, which no practice of the mapping is", p.code, cell("CCG_CODE"))
		}
		m.practices = append(m.practices, p)
		return err
	})
	slices.SortFunc(m.practices, func(a, b attendancePractice) int {
		return cmp.Or(cmp.Compare(a.commissioner, b.commissioner), cmp.Compare(a.pcn, b.pcn), cmp.Compare(a.code, b.code))
	})
	return err
}

// spreadTrusts gives the attendances at the trusts of each system to its practices.
func (m *attendanceModel) spreadTrusts(department string) error {
	practices := make(map[string][]attendancePractice)
	for _, p := range m.practices {
		practices[p.system] = append(practices[p.system], p)
	}
	return m.spread(department, func(p *attendanceProvider) string { return p.system }, practices)
}

// spreadOthers gives the attendances at other providers of each region to its commissioners, of practices that are not known.
func (m *attendanceModel) spreadOthers(department string) error {
	patients := make(map[string]attendancePractice)
	for _, p := range m.practices {
		of := attendancePractice{commissioner: p.commissioner, region: p.region, patients: patients[p.commissioner].patients + p.patients}
		patients[p.commissioner] = of
	}
	commissioners := make(map[string][]attendancePractice)
	for _, code := range slices.Sorted(maps.Keys(patients)) {
		commissioners[patients[code].region] = append(commissioners[patients[code].region], patients[code])
	}
	return m.spread(department, func(p *attendanceProvider) string {
		if p.system != "" {
			return ""
		}
		return p.region
	}, commissioners)
}

// spread gives the attendances at the providers of each area to those who are there, by their lists with the largest remainder. Providers
// and takers stand in a line each, and who stands beside whom share, so that few have attendances at many.
func (m *attendanceModel) spread(department string, area func(*attendanceProvider) string, takers map[string][]attendancePractice) error {
	at := make(map[string][]*attendanceProvider)
	totals := make(map[string]int64)
	for i := range m.providers {
		p := &m.providers[i]
		if name := area(p); name != "" && p.by[department] > 0 {
			at[name] = append(at[name], p)
			totals[name] += p.by[department]
		}
	}
	for _, name := range slices.Sorted(maps.Keys(at)) {
		if len(takers[name]) == 0 {
			return fmt.Errorf("nobody is in %q, where %s is", name, at[name][0].code)
		}
		weights := make([]*big.Rat, len(takers[name]))
		for i, taker := range takers[name] {
			weights[i] = new(big.Rat).SetInt64(taker.patients)
		}
		left, err := shares(totals[name], weights)
		if err != nil {
			return err
		}
		next := 0
		for _, p := range at[name] {
			order, err := m.order(department, p.by[department])
			if err != nil {
				return err
			}
			for len(order) > 0 {
				n := min(left[next], int64(len(order)))
				m.add(p.code, department, &takers[name][next], order[:n])
				order = order[n:]
				if left[next] -= n; left[next] == 0 {
					next++
				}
			}
		}
	}
	return nil
}

// shares divides a number of attendances by weight.
func shares(n int64, weights []*big.Rat) ([]int64, error) {
	parts, err := money.Allocate(money.Pence(n), weights)
	out := make([]int64, len(parts))
	for i, part := range parts {
		out[i] = int64(part)
	}
	return out, err
}

// order returns which HRG each of a provider's attendances has: as many of each as in England, evenly apart, so that every practice has a
// share of each.
func (m *attendanceModel) order(department string, n int64) ([]string, error) {
	switch department {
	case departmentOther:
		return slices.Repeat([]string{simplestHRG}, int(n)), nil
	case departmentWalkIn:
		return make([]string, n), nil
	}
	counts, err := shares(n, m.activity)
	if err != nil {
		return nil, err
	}
	taken := make([]int64, len(counts))
	out := make([]string, 0, n)
	for range n {
		best := -1
		for i := range counts {
			// The middle of the next of one HRG comes before that of another: (2a+1)/b before (2c+1)/d.
			if taken[i] < counts[i] && (best < 0 || (2*taken[i]+1)*counts[best] < (2*taken[best]+1)*counts[i]) {
				best = i
			}
		}
		taken[best]++
		out = append(out, m.hrgs[best])
	}
	return out, nil
}

// add adds the attendances of a practice at a provider.
func (m *attendanceModel) add(provider, department string, of *attendancePractice, hrgs []string) {
	counts := make(map[string]int64)
	for _, hrg := range hrgs {
		counts[hrg]++
	}
	for _, hrg := range slices.Sorted(maps.Keys(counts)) {
		m.rows = append(m.rows, attendanceRow{
			commissioner: of.commissioner, provider: provider, department: department, practice: of.code, hrg: hrg, attendances: counts[hrg],
		})
	}
}

// unplaced returns the providers whose attendances have no known practice, those with most first.
func (m *attendanceModel) unplaced() []attendanceProvider {
	out := slices.DeleteFunc(slices.Clone(m.providers), func(p attendanceProvider) bool { return p.system != "" })
	slices.SortStableFunc(out, func(a, b attendanceProvider) int { return cmp.Compare(b.total(), a.total()) })
	return out
}

// commissionersOf returns the commissioners with practices in a health system.
func (m *attendanceModel) commissionersOf(system string) []string {
	in := make(map[string]bool)
	for _, p := range m.practices {
		if p.system == system {
			in[p.commissioner] = true
		}
	}
	return slices.Sorted(maps.Keys(in))
}

// total is the attendances for which one of the commissioners pays, all with none named.
func (m *attendanceModel) total(commissioners ...string) (n int64) {
	for i := range m.rows {
		if len(commissioners) == 0 || slices.Contains(commissioners, m.rows[i].commissioner) {
			n += m.rows[i].attendances
		}
	}
	return n
}

// file writes the attendances for which one of the commissioners pays, all with none named, as a file of attendances.
func (m *attendanceModel) file(commissioners ...string) ([]byte, error) {
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	_ = w.Write(strings.Split("provider_code,site_code,arrival_month,department_type,attendance_category,practice_code,hrg_code,attendances,commissioner_code", ","))
	for i := range m.rows {
		row := &m.rows[i]
		if len(commissioners) == 0 || slices.Contains(commissioners, row.commissioner) {
			_ = w.Write([]string{
				row.provider, "", m.month, row.department, "unknown", row.practice, row.hrg, strconv.FormatInt(row.attendances, 10), row.commissioner,
			})
		}
	}
	w.Flush()
	return out.Bytes(), w.Error()
}
