package working_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/working"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
)

// FuzzEvaluate holds that the working of a stranger is recomputed or refused, and explained either way, and that one that holds is read back
// whole.
func FuzzEvaluate(f *testing.F) {
	good, err := proto.Marshal(working.ToProto(premium()))
	require.NoError(f, err)
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, content []byte) {
		var message typev1.Working
		if len(content) > 4<<10 || proto.Unmarshal(content, &message) != nil {
			return
		}
		w, err := working.FromProto(&message)
		if err != nil {
			return
		}
		_ = working.Sentences(w)
		result, err := working.Evaluate(w)
		if err != nil {
			return
		}
		back, err := working.FromProto(working.ToProto(w))
		require.NoError(t, err)
		again, err := working.Evaluate(back)
		require.NoError(t, err)
		require.Zero(t, result.Cmp(again))
	})
}
