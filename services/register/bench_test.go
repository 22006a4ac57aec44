package register_test

import (
	"encoding/csv"
	"fmt"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/register"
)

// benchRows is the number of practices of England.
const benchRows = 6600

// bigList is a registered list of all England that differs from any other number's.
func bigList(number int) string {
	var out strings.Builder
	out.WriteString("PUBLICATION,EXTRACT_DATE,TYPE,CCG_CODE,ONS_CCG_CODE,CODE,POSTCODE,SEX,AGE,NUMBER_OF_PATIENTS\n")
	for i := range benchRows {
		fmt.Fprintf(&out, "GP_PRAC_PAT_LIST,01Jan2022,GP,00L,E38000130,A%05d,NE65 7UW,ALL,ALL,%d\n", i, 5000+number)
	}
	return out.String()
}

// bigMapping is a mapping of all England: 1,250 PCNs under 106 commissioners.
func bigMapping(number int) string {
	var out strings.Builder
	out.WriteString("PUBLICATION,EXTRACT_DATE,PRACTICE_CODE,PRACTICE_NAME,PRACTICE_POSTCODE,PCN_CODE,PCN_NAME,ONS_CCG_CODE,CCG_CODE,CCG_NAME," +
		"ONS_STP_CODE,STP_CODE,STP_NAME,ONS_COMM_REGION_CODE,COMM_REGION_CODE,COMM_REGION_NAME\n")
	for i := range benchRows {
		pcn := i % 1250
		fmt.Fprintf(&out, "GP_PRAC_PAT_LIST,01Jan2022,A%05d,PRACTICE %d OF %d,TS18 1HU,U%05d,PCN %d,E38000247,%03d,NHS %d CCG,E54000050,Q%02d,SYSTEM %d,E40000009,Y6%d,REGION\n",
			i, i, number, pcn, pcn, 100+pcn%106, pcn%106, pcn%42, pcn%42, pcn%7)
	}
	return out.String()
}

// BenchmarkImport measures a whole upload of a file of 6,600 rows, to be held against BenchmarkPlainInsert.
func BenchmarkImport(b *testing.B) {
	for name, file := range map[string]func(int) string{"list": bigList, "mapping": bigMapping} {
		b.Run(name, func(b *testing.B) {
			f := newFixture(b)
			operator := f.as(testkit.Operator())
			number := 0
			for b.Loop() {
				number++
				_, err := f.send(operator, &registerv1.ImportHeader{RequestId: fmt.Sprint(number)}, []byte(file(number)), 64<<10)
				require.NoError(b, err)
			}
		})
	}
}

// BenchmarkPlainInsert is the least an import can do: read the same file as CSV and insert what it stores.
func BenchmarkPlainInsert(b *testing.B) {
	for name, c := range map[string]struct {
		file    func(int) string
		table   string
		columns []string
		values  func(position int, row []string) []any
	}{
		"list": {bigList, "populations", []string{"load_position", "organisation_code", "kind", "reference_date", "value", "applied_from_month"}, func(position int, row []string) []any {
			return []any{position, row[5], "registered", "2022-01-01", row[9], ""}
		}},
		"mapping": {bigMapping, "published_mappings", []string{
			"load_position", "practice_code", "practice_name", "pcn_code", "pcn_name", "location_code", "system_code", "region_code",
		}, func(position int, row []string) []any {
			return []any{position, row[2], row[3], row[5], row[6], row[8], row[11], row[14]}
		}},
	} {
		b.Run(name, func(b *testing.B) {
			db := testkit.SQLite(b, sqldb.Options{})
			require.NoError(b, db.Migrate(b.Context(), register.Migrations()))
			position := 0
			for b.Loop() {
				position++
				rows := csvRows(c.file(position), position, c.values)
				require.NoError(b, db.Write(b.Context(), func(tx *sqldb.Tx) error {
					const load = `INSERT INTO loads VALUES ($1, $2, '', '', '', '', $2, 0, 0, 0, '', '', $1, '', '', false, false, '')`
					if _, err := tx.Exec(b.Context(), load, position, fmt.Sprint(position)); err != nil {
						return err
					}
					_, err := tx.BulkInsert(b.Context(), c.table, c.columns, rows)
					return err
				}))
			}
		})
	}
}

func csvRows(content string, position int, values func(int, []string) []any) iter.Seq2[[]any, error] {
	return func(yield func([]any, error) bool) {
		r := csv.NewReader(strings.NewReader(content))
		for line := 0; ; line++ {
			row, err := r.Read()
			if err != nil {
				return
			}
			if line > 0 && !yield(values(position, row), nil) {
				return
			}
		}
	}
}

// BenchmarkGetSnapshot measures the first picture of a day, the cutting of one commissioner, and the asking again.
func BenchmarkGetSnapshot(b *testing.B) {
	f := newFixture(b)
	operator := f.as(testkit.Operator())
	for _, content := range []string{bigMapping(1), bigList(1)} {
		_, err := f.send(operator, &registerv1.ImportHeader{RequestId: fmt.Sprint(len(content))}, []byte(content), 64<<10)
		require.NoError(b, err)
	}
	get := func(b *testing.B, p auth.Principal, commissioner, day string) {
		b.Helper()
		_, err := f.client.GetSnapshot(f.as(p), &registerv1.GetSnapshotRequest{CommissionerCode: commissioner, MembershipDate: day, PopulationReferenceDate: "2022-01-01"})
		require.NoError(b, err)
	}
	day := may2022
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			day = day.AddDate(0, 0, 1)
			get(b, testkit.Operator(), "205", "2022-"+day.Format("01-02"))
			if day.Month() == 6 && day.Day() > 28 {
				day = may2022.AddDate(0, -4, 0)
			}
		}
	})
	b.Run("again", func(b *testing.B) {
		for b.Loop() {
			get(b, testkit.Preparer("100"), "100", "2022-04-01")
		}
	})
}

// BenchmarkTracker measures lists and counts of all England: 1,250 PCNs, of which every other has delivered what is due.
func BenchmarkTracker(b *testing.B) {
	f := newFixture(b)
	operator := f.as(testkit.Operator())
	for _, content := range []string{bigMapping(1), bigList(1)} {
		_, err := f.send(operator, &registerv1.ImportHeader{RequestId: fmt.Sprint(len(content))}, []byte(content), 64<<10)
		require.NoError(b, err)
	}
	requirements, err := f.client.ListRequirements(operator, &registerv1.ListRequirementsRequest{FinancialYear: "2022-23"})
	require.NoError(b, err)
	require.NoError(b, f.db.Write(b.Context(), func(tx *sqldb.Tx) error {
		columns := []string{
			"requirement_id", "pcn_code", "number", "kind", "planned_date", "met_date", "evidence_type", "evidence_reference", "reason", "commissioner_code", "recorded_by", "recorded_at",
		}
		_, err := tx.BulkInsert(b.Context(), "requirement_steps", columns, func(yield func([]any, error) bool) {
			for pcn := 0; pcn < 1250; pcn += 2 {
				for _, r := range requirements.GetRequirements() {
					if !yield([]any{r.GetRequirementId(), fmt.Sprintf("U%05d", pcn), 1, "DELIVER", "", "2022-05-01", "", "", "", "100", "m", 1}, nil) {
						return
					}
				}
			}
		})
		return err
	}))
	b.Run("summary of England", func(b *testing.B) {
		for b.Loop() {
			got, err := f.client.SummariseRequirements(operator, &registerv1.SummariseRequirementsRequest{FinancialYear: "2022-23"})
			require.NoError(b, err)
			require.EqualValues(b, 1250, got.GetPcns())
		}
	})
	b.Run("page of England", func(b *testing.B) {
		for b.Loop() {
			_, err := f.client.ListRequirementStatuses(operator, &registerv1.ListRequirementStatusesRequest{FinancialYear: "2022-23"})
			require.NoError(b, err)
		}
	})
	b.Run("list of one commissioner", func(b *testing.B) {
		for b.Loop() {
			_, err := f.client.ListRequirementStatuses(operator, &registerv1.ListRequirementStatusesRequest{FinancialYear: "2022-23", CommissionerCode: "105", PageSize: 1000})
			require.NoError(b, err)
		}
	})
	b.Run("file of England", func(b *testing.B) {
		for b.Loop() {
			file, err := f.client.DownloadRequirementStatuses(operator, &registerv1.DownloadRequirementStatusesRequest{FinancialYear: "2022-23"})
			require.NoError(b, err)
			b.ReportMetric(float64(len(file.GetData())), "file-bytes")
		}
	})
	b.Run("reminders of England", func(b *testing.B) {
		f.clock.Set(time.Date(2022, time.July, 17, 9, 0, 0, 0, time.UTC))
		for b.Loop() {
			_, err := f.service.Remind(b.Context())
			require.NoError(b, err)
		}
	})
}
