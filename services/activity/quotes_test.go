package activity_test

import (
	"encoding/csv"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	activityv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/activity/v1"
	"github.com/pcnfunding/pcnfunding/services/activity"
	"github.com/pcnfunding/pcnfunding/services/internal/check"
)

func TestQuotations_GiveTheWorkedExamples(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/examples.csv")
	require.NoError(t, err)
	rows, err := csv.NewReader(strings.NewReader(string(text))).ReadAll()
	require.NoError(t, err)
	db := testkit.SQLite(t, sqldb.Options{})
	require.NoError(t, db.Migrate(t.Context(), activity.Migrations()))
	service, err := activity.New(t.Context(), activity.Deps{DB: db, Logger: testkit.Logger(t)})
	require.NoError(t, err)
	connection := testkit.Serve(t, service.Register)
	var out strings.Builder
	result, err := check.Run(testkit.As(t.Context(), testkit.Operator()), strings.NewReader(string(text)), func(string) grpc.ClientConnInterface { return connection }, &out)
	require.NoError(t, err)
	require.Equal(t, check.Result{Passed: len(rows) - 1}, result, out.String())
	for _, row := range rows[1:] {
		request := new(activityv1.QuoteCostRequest)
		require.NoError(t, protojson.Unmarshal([]byte(row[2]), request), row[0])
		answer, err := activityv1.NewActivityServiceClient(connection).QuoteCost(testkit.As(t.Context(), testkit.Operator()), request)
		require.NoError(t, err, row[0])
		require.Contains(t, answer.GetNotes()[0], "never an amount owed", row[0])
		if answer.NotionalCostPence == nil {
			require.NotEmpty(t, answer.GetMissing().GetRemedy(), row[0])
			continue
		}
		steps, err := working.FromProto(answer.GetWorking())
		require.NoError(t, err, row[0])
		value, err := working.Evaluate(steps)
		require.NoError(t, err, row[0])
		require.Zero(t, value.Cmp(money.Pence(answer.GetNotionalCostPence()).GBP()), "%s: the working gives the pence", row[0])
	}
}
