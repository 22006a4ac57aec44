package iif_test

import (
	"bytes"
	"encoding/csv"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	"github.com/pcnfunding/pcnfunding/services/iif"
	"github.com/pcnfunding/pcnfunding/services/internal/check"
)

// quoteConnection serves the quotation calls over the published figures.
func quoteConnection(t *testing.T) *grpc.ClientConn {
	t.Helper()
	db := testkit.SQLite(t, sqldb.Options{})
	require.NoError(t, db.Migrate(t.Context(), iif.Migrations()))
	service, err := iif.New(t.Context(), iif.Deps{DB: db, Logger: testkit.Logger(t)})
	require.NoError(t, err)
	return testkit.Serve(t, service.Register)
}

func quoteRows(t *testing.T, name string) (file string, rows [][]string) {
	t.Helper()
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	rows, err = csv.NewReader(bytes.NewReader(text)).ReadAll()
	require.NoError(t, err)
	return string(text), rows[1:]
}

func TestQuotations_GiveTheWorkedExamples(t *testing.T) {
	t.Parallel()
	examples, rows := quoteRows(t, "testdata/examples.csv")
	ids := make([]string, len(rows))
	for i, row := range rows {
		ids[i] = row[0]
		require.True(t, strings.HasPrefix(row[1], iifv1.IifService_ServiceDesc.ServiceName+"/Quote"), row[0])
	}
	_, all := quoteRows(t, "internal/rules/testdata/iif.csv")
	for _, row := range all {
		// The support payment that stood in for the fund in 2020 is core's, and so is its check.
		require.Equal(t, row[0] != "IIF-030", slices.Contains(ids, row[0]), row[0])
	}
	connection := quoteConnection(t)
	var out strings.Builder
	ctx := testkit.As(t.Context(), auth.Principal{Subject: "operator", Roles: []optionsv1.Role{optionsv1.Role_ROLE_OPERATOR}})
	result, err := check.Run(ctx, strings.NewReader(examples), func(string) grpc.ClientConnInterface { return connection }, &out)
	require.NoError(t, err)
	require.Equal(t, check.Result{Passed: len(all) - 1}, result, out.String())
}
