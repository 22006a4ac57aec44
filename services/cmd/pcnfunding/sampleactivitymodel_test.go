package main

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/services/sample"
)

// november is the model of November 2020, which no test changes.
var november = sync.OnceValues(func() (*attendanceModel, error) {
	of := sample.PublishedAttendances()[0]
	files, err := readAttendanceFiles(of)
	if err != nil {
		return nil, err
	}
	return newAttendanceModel(of.Month, files)
})

func attendances(t testing.TB) (*attendanceModel, attendanceFiles) {
	t.Helper()
	m, err := november()
	require.NoError(t, err)
	files, err := readAttendanceFiles(sample.PublishedAttendances()[0])
	require.NoError(t, err)
	return m, files
}

func TestAttendanceModel_ComesToWhatProvidersPublished(t *testing.T) {
	t.Parallel()
	m, _ := attendances(t)
	type at struct{ provider, department string }
	published, modelled := make(map[at]int64), make(map[at]int64)
	var all, placed int64
	for _, p := range m.providers {
		for department, n := range p.by {
			if n > 0 {
				published[at{p.code, department}] = n
			}
			all += n
			if p.system != "" {
				placed += n
			}
		}
	}
	lists := make(map[string]attendancePractice)
	for _, p := range m.practices {
		lists[p.code] = p
	}
	keys := make(map[attendanceRow]bool)
	var unknown, outside int64
	for _, row := range m.rows {
		modelled[at{row.provider, row.department}] += row.attendances
		require.True(t, row.attendances > 0 && (row.department == departmentWalkIn) == (row.hrg == ""), "%+v", row)
		if row.practice == "" {
			unknown += row.attendances
		} else {
			of, listed := lists[row.practice]
			require.True(t, listed && of.commissioner == row.commissioner, "every practice has a list: %+v", row)
			if of.pcn == "U" {
				outside += row.attendances
			}
		}
		row.attendances = 0
		keys[row] = true
	}
	require.Len(t, keys, len(m.rows), "a key stands once")
	require.Equal(t, published, modelled, "to the attendance, by provider and type")
	require.EqualValues(t, 1_030_384+31_872+394_944+5_966+22_010, all, "the total of the publication")
	require.EqualValues(t, 1_406_310, placed)
	require.Equal(t, all-placed, unknown)
	require.Len(t, m.unplaced(), 54)
	require.Equal(t, "NLX", m.unplaced()[0].code)
	require.Len(t, m.practices, 6_658)
	require.Equal(t, []string{"00L", "00N", "00P", "01H", "13T", "16C", "84H", "99C"}, m.commissionersOf("QHM"))
	require.Equal(t, all, m.total())
	require.Positive(t, outside, "some practices are in no PCN")
	t.Logf("%d rows, %d attendances, %d of unknown practices, %d of practices in no PCN, %d providers", len(m.rows), all, unknown, outside, len(m.providers))
}

// The year after, by another mapping and with other lists.
func TestAttendanceModel_ReadsTheYearAfter(t *testing.T) {
	t.Parallel()
	of := sample.PublishedAttendances()[1]
	files, err := readAttendanceFiles(of)
	require.NoError(t, err)
	m, err := newAttendanceModel(of.Month, files)
	require.NoError(t, err)
	require.EqualValues(t, 1_300_577+38_821+624_035+35_974+204+40_712, m.total())
	require.Equal(t, []string{"00L", "00N", "00P", "01H", "13T", "16C", "84H", "99C"}, m.commissionersOf(of.System), "the commissioners of the year before")
}

// Every practice of a system has attendances by its list, to the nearest, and England has its HRGs.
func TestAttendanceModel_SpreadsByLists(t *testing.T) {
	t.Parallel()
	m, _ := attendances(t)
	type in struct{ system, department string }
	systems, byPractice := make(map[in]int64), make(map[[2]string]int64)
	patients, hrgs := make(map[string]int64), make(map[string]int64)
	for _, p := range m.providers {
		for department, n := range p.by {
			systems[in{p.system, department}] += n
		}
	}
	for _, p := range m.practices {
		patients[p.system] += p.patients
	}
	for _, row := range m.rows {
		byPractice[[2]string{row.practice, row.department}] += row.attendances
		if row.department == departmentMajor || row.department == departmentSingle {
			hrgs[row.hrg] += row.attendances
		}
	}
	for _, p := range m.practices {
		for _, department := range []string{departmentMajor, departmentSingle, departmentOther, departmentWalkIn} {
			exact := systems[in{p.system, department}] * p.patients
			n := byPractice[[2]string{p.code, department}]
			require.True(t, (n-1)*patients[p.system] < exact && exact < (n+1)*patients[p.system], "%s has %d of type %s", p.code, n, department)
		}
	}
	require.Len(t, hrgs, 12)
	require.InDelta(t, 5_535_278.0/23_570_779, float64(hrgs["VB08Z"])/1_068_222, 0.001)
}

func repack(t testing.TB, file []byte, order *rand.Rand) []byte {
	t.Helper()
	plain, err := gzip.NewReader(bytes.NewReader(file))
	require.NoError(t, err)
	rows, err := csv.NewReader(plain).ReadAll()
	require.NoError(t, err)
	order.Shuffle(len(rows)-1, func(i, j int) { rows[i+1], rows[j+1] = rows[j+1], rows[i+1] })
	var out bytes.Buffer
	packer := gzip.NewWriter(&out)
	w := csv.NewWriter(packer)
	require.NoError(t, w.WriteAll(rows))
	require.NoError(t, packer.Close())
	return out.Bytes()
}

func TestAttendanceModel_OrderOfRowsDoesNotMatter(t *testing.T) {
	t.Parallel()
	m, files := attendances(t)
	want, err := m.file()
	require.NoError(t, err)
	order := rand.New(rand.NewPCG(1, 2))
	for _, part := range []*[]byte{&files.providers, &files.trusts, &files.activity, &files.members, &files.lists} {
		*part = repack(t, *part, order)
	}
	again, err := newAttendanceModel(m.month, files)
	require.NoError(t, err)
	got, err := again.file()
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got))
}

func TestAttendanceModel_WritesAFileOfCommissioners(t *testing.T) {
	t.Parallel()
	m, _ := attendances(t)
	content, err := m.file("16C", "01H")
	require.NoError(t, err)
	rows, err := csv.NewReader(bytes.NewReader(content)).ReadAll()
	require.NoError(t, err)
	require.Equal(t, []string{
		"provider_code", "site_code", "arrival_month", "department_type", "attendance_category", "practice_code", "hrg_code", "attendances", "commissioner_code",
	}, rows[0])
	var written, want int64
	for _, row := range rows[1:] {
		require.Contains(t, []string{"16C", "01H"}, row[8])
		require.Equal(t, []string{"2020-11", "unknown"}, []string{row[2], row[4]})
		n, err := strconv.ParseInt(row[7], 10, 64)
		require.NoError(t, err)
		written += n
	}
	for _, row := range m.rows {
		if slices.Contains([]string{"16C", "01H"}, row.commissioner) {
			want += row.attendances
		}
	}
	require.Equal(t, want, written)
	require.Positive(t, written)
}

func TestAttendanceModel_RefusesFilesThatDoNotAddUp(t *testing.T) {
	t.Parallel()
	_, files := attendances(t)
	change := func(file []byte, old, replacement string) []byte {
		plain, err := gzip.NewReader(bytes.NewReader(file))
		require.NoError(t, err)
		text, err := io.ReadAll(plain)
		require.NoError(t, err)
		require.Contains(t, string(text), old)
		return packed(t, string(bytes.Replace(text, []byte(old), []byte(replacement), 1)))
	}
	for want, broken := range map[string]attendanceFiles{
		"attendances, their total":    {change(files.providers, "RYY,NHS ENGLAND SOUTH EAST ,KENT COMMUNITY HEALTH NHS FOUNDATION TRUST,0", "RYY,x,y,7"), files.trusts, files.activity, files.members, files.lists},
		"not a whole number":          {change(files.providers, "COMMUNITY HEALTH NHS FOUNDATION TRUST,0", "COMMUNITY HEALTH NHS FOUNDATION TRUST,-"), files.trusts, files.activity, files.members, files.lists},
		`nobody is in "QXX"`:          {files.providers, change(files.trusts, "RYY,KENT COMMUNITY HEALTH NHS FOUNDATION TRUST,QKS", "RYY,K,QXX"), files.activity, files.members, files.lists},
		"not a decimal":               {files.providers, files.trusts, change(files.activity, "32684.0", "many"), files.members, files.lists},
		"no practice of the mapping":  {files.providers, files.trusts, files.activity, packed(t, "PRACTICE_CODE,PCN_CODE,CCG_CODE,STP_CODE,COMM_REGION_NAME\nA81001,U89141,16C,QHM,x\n"), files.lists},
		"read the practices: unpack:": {files.providers, files.trusts, files.activity, []byte("no gzip"), files.lists},
	} {
		_, err := newAttendanceModel("2020-11", broken)
		require.ErrorContains(t, err, want)
	}
}

func BenchmarkAttendanceModel(b *testing.B) {
	b.ReportAllocs()
	_, files := attendances(b)
	for b.Loop() {
		m, err := newAttendanceModel("2020-11", files)
		require.NoError(b, err)
		content, err := m.file()
		require.NoError(b, err)
		require.NotEmpty(b, content)
	}
}
