package register_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/register"
)

func upload(ctx context.Context, c registerv1.RegisterServiceClient, path string, h *registerv1.ImportHeader) (*registerv1.ImportResponse, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := c.Import(ctx)
	if err != nil {
		return nil, err
	}
	h.FileName = filepath.Base(path)
	h.RequestId = path
	h.Source = "data"
	_ = st.Send(&registerv1.ImportRequest{Part: &registerv1.ImportRequest_Header{Header: h}})
	buf := make([]byte, 1<<16)
	for {
		n, err := f.Read(buf)
		if n > 0 {
			if e := st.Send(&registerv1.ImportRequest{Part: &registerv1.ImportRequest_Chunk{Chunk: append([]byte(nil), buf[:n]...)}}); e != nil {
				break
			}
		}
		if err == io.EOF {
			break
		}
	}
	return st.CloseAndRecv()
}

func client(t testing.TB, db *sqldb.DB) registerv1.RegisterServiceClient {
	require.NoError(t, db.Migrate(context.Background(), register.Migrations()))
	conn := testkit.Serve(t, register.New(register.Deps{DB: db}).Register)
	return registerv1.NewRegisterServiceClient(conn)
}

const data = "/work/shared/data/"

func TestOneOff_AllFiles(t *testing.T) {
	db := testkit.SQLite(t, sqldb.Options{})
	if os.Getenv("PCN_TEST_POSTGRES") != "" {
		db = testkit.Postgres(t, sqldb.Options{})
	}
	c := client(t, db)
	ctx := testkit.As(context.Background(), testkit.Operator())
	var all []string
	for _, g := range []string{"mapping/*", "lists/*", "weighted_lists.csv", "allocations/*", "qof/*"} {
		m, _ := filepath.Glob(data + g)
		all = append(all, m...)
	}
	for _, p := range all {
		start := time.Now()
		r, err := upload(ctx, c, p, &registerv1.ImportHeader{})
		if err != nil {
			fmt.Println("REFUSED", strings.TrimPrefix(p, data), err.Error()[:min(120, len(err.Error()))])
			continue
		}
		l := r.Load
		fmt.Println(strings.TrimPrefix(p, data), l.Kind, l.ExtractDate, "read", l.RowsRead, "stored", l.RowsStored, "bad", l.RowsQuarantined, "passed", l.RowsPassedOver, "warn", len(l.Warnings), time.Since(start).Round(time.Millisecond))
	}
}

func TestOneOff_Snapshots(t *testing.T) {
	for _, sc := range []struct {
		name  string
		files []string
		day   string
	}{
		{"2022", []string{"mapping/gp-reg-pat-prac-map_2022-01-01.csv.gz", "lists/gp-reg-pat-prac-all_2022-01-01.csv.gz", "mapping/epcn_pcn_details_2022-05.csv.gz", "weighted_lists.csv"}, "2022-04-01"},
		{"2022dated", []string{"mapping/gp-reg-pat-prac-map_2022-01-01.csv.gz", "lists/gp-reg-pat-prac-all_2022-01-01.csv.gz", "mapping/epcn_pcn_details_2022-05.csv.gz", "mapping/epcn_core_partner_details_2022-05.csv.gz"}, "2022-01-01"},
		{"2022all", nil, "2022-04-01"},
		{"2025", []string{"lists/practice_adjusted_population_2025-01-01.csv.gz"}, "2025-04-01"},
		{"2025all", nil, "2025-04-01"},
		{"2026all", nil, "2026-07-01"},
		{"2021all", nil, "2021-04-01"},
		{"2022-10all", nil, "2022-10-01"},
	} {
		db := testkit.SQLite(t, sqldb.Options{})
		if os.Getenv("PCN_TEST_POSTGRES") != "" {
			db = testkit.Postgres(t, sqldb.Options{})
		}
		c := client(t, db)
		ctx := testkit.As(context.Background(), testkit.Operator())
		if sc.files == nil {
			for _, g := range []string{"mapping/*", "lists/*", "weighted_lists.csv"} {
				m, _ := filepath.Glob(data + g)
				for _, f := range m {
					_, _ = upload(ctx, c, f, &registerv1.ImportHeader{})
				}
			}
		}
		for _, f := range sc.files {
			_, err := upload(ctx, c, data+f, &registerv1.ImportHeader{})
			require.NoError(t, err)
		}
		start := time.Now()
		s, err := c.GetSnapshot(ctx, &registerv1.GetSnapshotRequest{MembershipDate: sc.day})
		require.NoError(t, err)
		first := time.Since(start)
		var pats, adj int64
		pr := 0
		for _, p := range s.Pcns {
			pr += len(p.Practices)
			for _, q := range p.Practices {
				for _, v := range q.Populations {
					var n int64
					fmt.Sscan(v.Value, &n)
					if v.Kind == 1 {
						pats += n
					}
					if v.Kind == 3 {
						adj += n
					}
				}
			}
		}
		fmt.Println("==", sc.name, sc.day, "pcns", len(s.Pcns), "practices", pr, "registered", pats, "adjusted", adj, "first", first, "sources", len(s.Sources), s.PopulationReferenceDate)
		kinds := map[string]int{}
		for _, f := range s.Findings {
			kinds[f.Kind.String()]++
			if kinds[f.Kind.String()] <= 2 {
				fmt.Println("   ", f.Kind, f.PcnCode, f.PracticeCode, f.Detail, f.RegisteredPatients, f.LocationCode, f.PayerCode)
			}
		}
		fmt.Println(kinds)
		l, err := c.ListCommissioners(ctx, &registerv1.ListCommissionersRequest{OnDate: sc.day})
		require.NoError(t, err)
		start = time.Now()
		n := 0
		for _, x := range l.Commissioners {
			cs, err := c.GetSnapshot(ctx, &registerv1.GetSnapshotRequest{MembershipDate: sc.day, CommissionerCode: x.CommissionerCode})
			require.NoError(t, err)
			n += len(cs.Pcns)
		}
		d := time.Since(start)
		start = time.Now()
		for _, x := range l.Commissioners {
			_, err := c.GetSnapshot(ctx, &registerv1.GetSnapshotRequest{MembershipDate: sc.day, CommissionerCode: x.CommissionerCode})
			require.NoError(t, err)
		}
		fmt.Println("commissioners", len(l.Commissioners), l.Commissioners[0], "cut", d/time.Duration(len(l.Commissioners)), "again", time.Since(start)/time.Duration(len(l.Commissioners)), "pcns touched", n)
		cov, err := c.GetCoverage(ctx, &registerv1.GetCoverageRequest{MembershipDate: sc.day})
		require.NoError(t, err)
		fmt.Println("coverage", cov.Practices, cov.PracticesInPcn, cov.RegisteredPatients, cov.RegisteredPatientsInPcn, cov.CoveredBasisPoints)
		if sc.day == "2022-04-01" {
			for _, code := range []string{"QT1", "QF7", "02Q", "QHM", "16C"} {
				cs, err := c.GetSnapshot(ctx, &registerv1.GetSnapshotRequest{MembershipDate: sc.day, CommissionerCode: code})
				require.NoError(t, err)
				fmt.Println(code, cs.CommissionerName, len(cs.Pcns), cs.Pcns[0].PayerCode, cs.Pcns[0].PayerName, cs.Pcns[0].SystemCode)
			}
		}
	}
}
