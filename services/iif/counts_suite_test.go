package iif_test

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/iif"
)

// organisations stands in for the register service: it knows what organisations belong to.
type organisations struct {
	registerv1.RegisterServiceClient

	known map[string][]*registerv1.Relationship
}

func (r *organisations) GetOrganisation(_ context.Context, req *registerv1.GetOrganisationRequest, _ ...grpc.CallOption) (*registerv1.Organisation, error) {
	relationships, known := r.known[req.GetOrganisationCode()]
	if !known {
		return nil, rpc.Status(fault.New(fault.NotFound, "ORGANISATION_UNKNOWN", "no %s", req.GetOrganisationCode())).Err()
	}
	return &registerv1.Organisation{OrganisationCode: req.GetOrganisationCode(), Relationships: relationships}, nil
}

// countsSuite is iif over a database, with a register and a clock of the test's.
type countsSuite struct {
	iif      iifv1.IifServiceClient
	service  *iif.Service
	register *organisations
	db       *sqldb.DB
	clock    *testkit.Clock

	mu       sync.Mutex
	requests int
}

var countsStores = map[string]func(testing.TB, sqldb.Options) *sqldb.DB{"sqlite": testkit.SQLite, "postgres": testkit.Postgres}

// eachCounts runs a test on both stores.
func eachCounts(t *testing.T, test func(t *testing.T, s *countsSuite)) {
	t.Helper()
	t.Parallel()
	for name, open := range countsStores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newCountsSuite(t, open))
		})
	}
}

func newCountsSuite(t testing.TB, open func(testing.TB, sqldb.Options) *sqldb.DB) *countsSuite {
	t.Helper()
	clock := testkit.NewClock(testkit.Start)
	s := &countsSuite{register: &organisations{known: make(map[string][]*registerv1.Relationship)}, db: open(t, sqldb.Options{Clock: clock.Now}), clock: clock}
	require.NoError(t, s.db.Migrate(t.Context(), iif.Migrations()))
	var err error
	s.service, err = iif.New(t.Context(), iif.Deps{DB: s.db, Register: s.register, Logger: testkit.Logger(t)})
	require.NoError(t, err)
	s.iif = iifv1.NewIifServiceClient(testkit.Serve(t, s.service.Register))
	return s
}

// as makes calls in the name of someone, later than those before.
func (s *countsSuite) as(t testing.TB, p auth.Principal) context.Context {
	t.Helper()
	s.clock.Advance(time.Second)
	return testkit.As(t.Context(), p)
}

// next returns a request id that was not used before.
func (s *countsSuite) next() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	return "r" + strconv.Itoa(s.requests)
}

// countsChunk is the size of a piece of a file.
const countsChunk = 64 << 10

// send uploads a file.
func (s *countsSuite) send(ctx context.Context, header *iifv1.CountsHeader, content io.Reader) (*iifv1.ImportCountsResponse, error) {
	stream, err := s.iif.ImportCounts(ctx)
	if err != nil {
		return nil, err
	}
	if err := stream.Send(&iifv1.ImportCountsRequest{Part: &iifv1.ImportCountsRequest_Header{Header: header}}); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	piece := make([]byte, countsChunk)
	for {
		n, err := io.ReadFull(content, piece)
		if n > 0 {
			// The server may have answered already; what it said comes with the answer.
			if err := stream.Send(&iifv1.ImportCountsRequest{Part: &iifv1.ImportCountsRequest_Chunk{Chunk: piece[:n]}}); err != nil {
				break
			}
		}
		if err != nil {
			break
		}
	}
	return stream.CloseAndRecv()
}

// load imports a file of counts as a preparer, for England where the commissioner is empty.
func (s *countsSuite) load(t *testing.T, commissioner, content string) *iifv1.CountsImport {
	t.Helper()
	out, err := s.tryLoad(t, commissioner, content)
	require.NoError(t, err)
	require.False(t, out.GetAlreadyImported())
	return out.GetCountsImport()
}

func (s *countsSuite) tryLoad(t *testing.T, commissioner, content string) (*iifv1.ImportCountsResponse, error) {
	t.Helper()
	by := testkit.Preparer("*")
	if commissioner != "" {
		by = testkit.Preparer(commissioner)
	}
	return s.send(s.as(t, by), &iifv1.CountsHeader{RequestId: s.next(), CommissionerCode: commissioner, Source: "a test", FileName: "counts.csv"}, strings.NewReader(content))
}

// versions returns the versions of an organisation's counts, as who holds England sees them.
func (s *countsSuite) versions(t *testing.T, req *iifv1.ListCountsRequest) []*iifv1.CountVersion {
	t.Helper()
	var out []*iifv1.CountVersion
	for {
		page, err := s.iif.ListCounts(s.as(t, testkit.Auditor("*")), req)
		require.NoError(t, err)
		out = append(out, page.GetVersions()...)
		if req.PageToken = page.GetNextPageToken(); req.GetPageToken() == "" {
			return out
		}
	}
}

// countRows returns how many rows a table holds.
func (s *countsSuite) countRows(t *testing.T, from string) (n int) {
	t.Helper()
	require.NoError(t, s.db.Read(t.Context(), func(q sqldb.Querier) error {
		return q.QueryRow(t.Context(), `SELECT COUNT(*) FROM `+from).Scan(&n)
	}))
	return n
}

// refused returns the fault behind an error of a call.
func refused(t *testing.T, err error) *fault.Fault {
	t.Helper()
	require.Error(t, err)
	f := rpc.FaultFromStatus(status.Convert(err))
	require.NotNil(t, f, "%v", err)
	return f
}
