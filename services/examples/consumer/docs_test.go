package main

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/reflect/protoreflect"

	activityv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/activity/v1"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	corev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	partnersv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/partners/v1"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
)

const docsDir = "../../../docs/"

// eventNames returns the full name of every event of the contracts: of every message of their files that is no part of another.
func eventNames() (out []string) {
	for _, file := range []protoreflect.FileDescriptor{
		arrsv1.File_pcnfunding_arrs_v1_events_proto, corev1.File_pcnfunding_core_v1_events_proto, iifv1.File_pcnfunding_iif_v1_events_proto,
		devfundv1.File_pcnfunding_devfund_v1_events_proto,
		activityv1.File_pcnfunding_activity_v1_events_proto,
		partnersv1.File_pcnfunding_partners_v1_events_proto,
		paymentsv1.File_pcnfunding_payments_v1_events_proto, registerv1.File_pcnfunding_register_v1_events_proto,
	} {
		parts := map[protoreflect.FullName]bool{}
		for i := range file.Messages().Len() {
			fields := file.Messages().Get(i).Fields()
			for n := range fields.Len() {
				if message := fields.Get(n).Message(); message != nil {
					parts[message.FullName()] = true
				}
			}
		}
		for i := range file.Messages().Len() {
			if name := file.Messages().Get(i).FullName(); !parts[name] {
				out = append(out, string(name))
			}
		}
	}
	return out
}

type reference struct {
	Ref string `yaml:"$ref"`
}

type asyncAPI struct {
	Channels map[string]struct {
		Address    string               `yaml:"address"`
		Parameters map[string]reference `yaml:"parameters"`
		Messages   map[string]reference `yaml:"messages"`
	} `yaml:"channels"`
	Operations map[string]struct {
		Action  string    `yaml:"action"`
		Channel reference `yaml:"channel"`
	} `yaml:"operations"`
	Components struct {
		Messages map[string]struct {
			Name    string      `yaml:"name"`
			Traits  []reference `yaml:"traits"`
			Payload struct {
				Schema reference `yaml:"schema"`
			} `yaml:"payload"`
		} `yaml:"messages"`
	} `yaml:"components"`
}

func TestAsyncAPI_DescribesEveryEvent(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(docsDir + "asyncapi.yaml")
	require.NoError(t, err)
	var doc asyncAPI
	require.NoError(t, yaml.Unmarshal(data, &doc))
	addresses, names, sent := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, op := range doc.Operations {
		require.Equal(t, "send", op.Action)
		sent[op.Channel.Ref] = true
	}
	for key, channel := range doc.Channels {
		addresses[channel.Address] = true
		require.True(t, sent["#/channels/"+key], "no operation on %s", key)
		require.Contains(t, channel.Parameters, "commissioner_code")
		for _, m := range channel.Messages {
			message, ok := doc.Components.Messages[strings.TrimPrefix(m.Ref, "#/components/messages/")]
			require.True(t, ok, m.Ref)
			require.Equal(t, channel.Address, message.Name+".{commissioner_code}")
		}
	}
	for key, message := range doc.Components.Messages {
		names[message.Name] = true
		require.NotEmpty(t, message.Traits, key)
		_, err := os.Stat(docsDir + message.Payload.Schema.Ref)
		require.NoError(t, err, key)
	}
	for _, name := range eventNames() {
		require.True(t, names[name], "message %s", name)
		require.True(t, addresses[name+".{commissioner_code}"], "channel of %s", name)
	}
	require.Len(t, doc.Channels, len(eventNames()))
	require.Len(t, doc.Components.Messages, len(eventNames()))
}

func TestEventsPage_NamesEveryEvent(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(docsDir + "events.md")
	require.NoError(t, err)
	for _, name := range eventNames() {
		require.Contains(t, string(data), "| `"+name+"` |")
	}
}
