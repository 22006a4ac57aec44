package inbox

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/outbox"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
)

// FuzzRead holds that whatever comes from the broker is an event or poison with a reason, and has a key under which it can be kept.
func FuzzRead(f *testing.F) {
	payload, err := proto.Marshal(&typev1.PaymentSchedule{ScheduleId: "core-15N-2022-04-1", Month: "2022-04"})
	require.NoError(f, err)
	good, err := json.Marshal(map[string]string{
		outbox.HeaderID: "1", outbox.HeaderSource: "/pcnfunding/core", outbox.HeaderType: "pcnfunding.type.v1.PaymentSchedule", outbox.HeaderSubject: "core/15N",
	})
	require.NoError(f, err)
	f.Add("pcnfunding.type.v1.PaymentSchedule.15N", good, payload)
	f.Add("pcnfunding.core.v1.X.15N", []byte(`{"ce-id":"","ce-source":" ","ce-type":"x"}`), []byte{0xff})
	f.Add("", []byte(`{}`), []byte{})
	in := New(nil, Options{New: func(name string) (proto.Message, bool) { return new(typev1.PaymentSchedule), name != "" }})
	f.Fuzz(func(t *testing.T, subject string, headers, payload []byte) {
		header := make(map[string]string)
		if json.Unmarshal(headers, &header) != nil {
			return
		}
		it := in.read(Delivery{Subject: subject, Header: header, Payload: payload})
		require.NotEmpty(t, it.event)
		if it.poison != nil {
			_, ok := fault.As(it.poison)
			require.True(t, ok, "%v", it.poison)
		}
	})
}
