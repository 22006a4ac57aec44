package sqldb_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
)

func TestMarshal_IsReadAgainAndNeverNull(t *testing.T) {
	empty, err := sqldb.Marshal(&emptypb.Empty{})
	require.NoError(t, err)
	require.NotNil(t, empty, "a column that may not be null takes it")
	require.Empty(t, empty)
	want := structpb.NewStringValue("16C")
	body, err := sqldb.Marshal(want)
	require.NoError(t, err)
	got, err := sqldb.Unmarshal(body, new(structpb.Value))
	require.NoError(t, err)
	require.Equal(t, "16C", got.GetStringValue())
	_, err = sqldb.Unmarshal([]byte{0xff}, new(structpb.Value))
	require.ErrorContains(t, err, "google.protobuf.Value")
}

func TestInBatches_HandsOverEachValueOnceUpToAnError(t *testing.T) {
	for _, n := range []int{0, 1, 399, 400, 401, 1000} {
		values := make([]string, n)
		for i := range values {
			values[i] = fmt.Sprint(i)
		}
		var got []string
		require.NoError(t, sqldb.InBatches(values, func(batch []string) error {
			require.NotEmpty(t, batch)
			got = append(got, batch...)
			return nil
		}))
		require.Equal(t, append([]string(nil), values...), got)
	}
	calls, wrong := 0, errors.New("wrong")
	require.ErrorIs(t, sqldb.InBatches(make([]string, 1000), func([]string) error { calls++; return wrong }), wrong)
	require.Equal(t, 1, calls)
}
