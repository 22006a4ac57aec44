package idempotency

import (
	"fmt"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// maxDifferences bounds the paths that a refusal lists.
const maxDifferences = 20

// differences returns the paths of the fields in which two messages of one type differ, in the order of the type, such as
// "lines[3].amount_pence". A list of another length is named as a whole, and so is a map: its keys are content.
func differences(a, b protoreflect.Message) []string {
	var paths []string
	compareMessages("", a, b, func(path string) bool {
		paths = append(paths, path)
		return len(paths) < maxDifferences
	})
	return paths
}

// compareMessages reports each difference until report says to stop, and returns whether to go on.
func compareMessages(prefix string, a, b protoreflect.Message, report func(string) bool) bool {
	fields := a.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if !compareFields(prefix+string(f.Name()), f, a, b, report) {
			return false
		}
	}
	return true
}

func compareFields(path string, f protoreflect.FieldDescriptor, a, b protoreflect.Message, report func(string) bool) bool {
	va, vb := a.Get(f), b.Get(f)
	switch {
	case a.Has(f) == b.Has(f) && va.Equal(vb):
		return true
	case f.IsMap():
		return report(path)
	case f.IsList():
		return compareLists(path, f, va.List(), vb.List(), report)
	case f.Message() != nil && a.Has(f) && b.Has(f):
		return compareMessages(path+".", va.Message(), vb.Message(), report)
	}
	return report(path)
}

func compareLists(path string, f protoreflect.FieldDescriptor, a, b protoreflect.List, report func(string) bool) bool {
	if a.Len() != b.Len() {
		return report(path)
	}
	for i := range a.Len() {
		if a.Get(i).Equal(b.Get(i)) {
			continue
		}
		item := fmt.Sprintf("%s[%d]", path, i)
		var more bool
		if f.Message() != nil {
			more = compareMessages(item+".", a.Get(i).Message(), b.Get(i).Message(), report)
		} else {
			more = report(item)
		}
		if !more {
			return false
		}
	}
	return true
}
