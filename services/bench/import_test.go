package bench

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/register"
	"github.com/pcnfunding/pcnfunding/services/sample"
)

// factTables hold the rows of the kinds of file imported here.
var factTables = map[registerv1.FileKind]string{
	registerv1.FileKind_PRACTICE_MAPPING: "published_mappings",
	registerv1.FileKind_REGISTERED_LISTS: "populations",
}

// importDay is the day whose files are loaded; the sample has others beside them.
const importDay = "2022-01-01"

// BenchmarkImport loads the mapping and the lists of one day over gRPC, and compares that with parsing the same files as CSV and
// storing the same rows in bulk.
func BenchmarkImport(b *testing.B) {
	var files []sample.File
	content := make(map[string][]byte)
	for _, file := range sample.Files() {
		if factTables[file.Kind] != "" && strings.Contains(file.Name, importDay) {
			files, content[file.Name] = append(files, file), unzip(b, file)
		}
	}
	require.Len(b, files, len(factTables))
	figures, bounds := make(map[string][]float64), make(map[string][]float64)
	rows := 0
	for range chosen.rounds {
		for _, store := range stores() {
			var figure, bound float64
			figure, bound, rows = importRound(b, store, files, content)
			figures[store], bounds[store] = append(figures[store], figure), append(bounds[store], bound)
		}
	}
	b.ReportMetric(0, "ns/op")
	for _, store := range stores() {
		note := fmt.Sprintf("%d files, %d rows", len(files), rows)
		results.ratio(b, goal{id: "P7", work: "import of mapping and lists on " + store, unit: "s", at: 5, note: note}, figures[store], bounds[store])
		results.limit(b, goal{id: "P7", work: "the same, at most", unit: "s", at: 1}, figures[store])
	}
}

func importRound(b *testing.B, store string, files []sample.File, content map[string][]byte) (figure, bound float64, rows int) {
	b.Helper()
	s := newSuite(b, store)
	defer s.close()
	ctx := s.issuer.Context(b.Context(), testkit.Operator())
	_, err := s.register.ListLoads(ctx, &registerv1.ListLoadsRequest{}) // the connection is there and the token known
	require.NoError(b, err)
	var empty closers
	defer empty.close()
	db := openDB(b, &empty, store, register.Migrations())
	for _, file := range files {
		took, err := seconds(func() error {
			_, err := s.upload(ctx, content[file.Name], &registerv1.ImportHeader{
				RequestId: file.Name, ExpectedKind: file.Kind, BadRows: registerv1.BadRows_STORE_NOTHING, Source: file.Source, FileName: file.Name,
			})
			return err
		})
		require.NoError(b, err)
		figure += took
	}
	loads, err := readTable(ctx, s.registerDB, "loads", "SELECT * FROM loads")
	require.NoError(b, err)
	require.NoError(b, loads.insert(ctx, db)) // facts refer to them
	for _, file := range files {
		name := factTables[file.Kind]
		facts, err := readTable(ctx, s.registerDB, name, "SELECT * FROM "+name)
		require.NoError(b, err)
		rows += len(facts.rows)
		took, err := seconds(func() error { return errors.Join(parse(content[file.Name]), facts.insert(ctx, db)) })
		require.NoError(b, err)
		bound += took
	}
	return figure, bound, rows
}

// parse reads a file as CSV and keeps nothing.
func parse(content []byte) error {
	reader := csv.NewReader(bytes.NewReader(content))
	reader.ReuseRecord = true
	for {
		if _, err := reader.Read(); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

const (
	// fewRows are the practices of England; manyRows are ten times as many, and mostRows about as many as a file may have.
	fewRows, manyRows, mostRows = 6_527, 65_270, 195_810
	// memoryRatio is how much more memory a file ten times larger may take: room for what memory measures badly, not for growth.
	memoryRatio = 1.25
)

// lists makes a file of registered lists with as many practices as asked for.
func lists(rows int) []byte {
	var out bytes.Buffer
	out.WriteString("PUBLICATION,EXTRACT_DATE,TYPE,CCG_CODE,ONS_CCG_CODE,CODE,POSTCODE,SEX,AGE,NUMBER_OF_PATIENTS\n")
	for i := range rows {
		fmt.Fprintf(&out, "GP_PRAC_PAT_LIST,01Jan2022,GP,00L,E38000130,%c%05d,NE65 7UW,ALL,ALL,%d\n", 'A'+i/100_000, i%100_000, 1_000+i%20_000)
	}
	return out.Bytes()
}

// BenchmarkImportMemory compares the live heap during the import of a file with that of files ten and thirty times larger.
func BenchmarkImportMemory(b *testing.B) {
	defer debug.SetGCPercent(debug.SetGCPercent(10)) // the collector runs often enough to see the peak
	peaks := make(map[int][]float64)
	sizes := []int{fewRows, manyRows}
	if chosen.rounds == modes["full"].rounds {
		sizes = append(sizes, mostRows)
	}
	for range chosen.rounds {
		for _, rows := range sizes {
			if rows == mostRows && len(peaks[rows]) > 0 {
				continue // one round of the largest: it takes long and says the same each time
			}
			peaks[rows] = append(peaks[rows], importPeak(b, rows))
		}
	}
	b.ReportMetric(0, "ns/op")
	results.ratio(b, goal{
		id: "P7", work: "live heap, import of 65,270 rows, bound 6,527", unit: "MB", at: memoryRatio, note: "above the heap at rest",
	}, peaks[manyRows], peaks[fewRows])
	if len(peaks[mostRows]) > 0 {
		results.ratio(b, goal{
			id: "P7", work: "live heap, import of 195,810 rows, bound 6,527", unit: "MB", at: memoryRatio, note: "above the heap at rest",
		}, peaks[mostRows], peaks[fewRows][:1])
	}
}

// importPeak imports a generated file and returns by how many megabytes the live heap grew at most.
func importPeak(b *testing.B, rows int) float64 {
	b.Helper()
	s := newSuite(b, onSQLite)
	defer s.close()
	content := lists(rows)
	ctx := s.issuer.Context(b.Context(), testkit.Operator())
	send := func(name string, content []byte) {
		answer, err := s.upload(ctx, content, &registerv1.ImportHeader{
			RequestId: name, ExpectedKind: registerv1.FileKind_REGISTERED_LISTS, BadRows: registerv1.BadRows_STORE_NOTHING, Source: "bench", FileName: name,
		})
		require.NoError(b, err)
		require.Positive(b, answer.GetLoad().GetRowsStored())
	}
	send("first.csv", lists(1)) // what is made once is there
	debug.FreeOSMemory()
	rest := liveHeap()
	watching, stop := context.WithCancel(b.Context())
	peak := make(chan float64, 1)
	go func() { peak <- watchHeap(watching) }()
	send("lists.csv", content)
	stop()
	return <-peak - rest
}

// watchHeap returns the greatest live heap, in megabytes, until the context ends.
func watchHeap(ctx context.Context) float64 {
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	most := 0.0
	for {
		select {
		case <-ctx.Done():
			return most
		case <-ticker.C:
			most = max(most, liveHeap())
		}
	}
}

// liveHeap returns what the last collection found in use, in megabytes.
func liveHeap() float64 {
	read := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(read)
	return float64(read[0].Value.Uint64()) / 1e6
}
