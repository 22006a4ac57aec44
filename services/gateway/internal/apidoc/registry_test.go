package apidoc_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/reflect/protoreflect"
)

func protoName(name string) protoreflect.FullName { return protoreflect.FullName(name) }

func serviceOf(t *testing.T, d protoreflect.Descriptor) protoreflect.ServiceDescriptor {
	t.Helper()
	service, ok := d.(protoreflect.ServiceDescriptor)
	require.True(t, ok)
	return service
}
