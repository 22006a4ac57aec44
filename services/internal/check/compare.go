package check

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// difference is one field that is not as expected.
type difference struct{ field, expected, got string }

// decode turns an answer into JSON values by proto field names, with fields that are not set at their zero value.
func decode(message proto.Message) (any, error) {
	text, err := protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true}.Marshal(message)
	if err != nil {
		return nil, fmt.Errorf("write the answer as JSON: %w", err)
	}
	return decodeJSON(text)
}

// compare notes how got differs from what is expected of it, field by field.
func compare(found []difference, path string, expected, got any) []difference {
	switch want := expected.(type) {
	case map[string]any:
		object, ok := got.(map[string]any)
		if !ok {
			return append(found, difference{path, shown(expected), shown(got)})
		}
		for _, name := range slices.Sorted(maps.Keys(want)) {
			inner, present := object[name]
			if !present {
				found = append(found, difference{join(path, name), shown(want[name]), "nothing"})
				continue
			}
			found = compare(found, join(path, name), want[name], inner)
		}
		return found
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(want) {
			return append(found, difference{path, shown(expected), shown(got)})
		}
		for i := range want {
			found = compare(found, index(path, i), want[i], list[i])
		}
		return found
	default:
		if scalar(expected) != scalar(got) {
			return append(found, difference{path, shown(expected), shown(got)})
		}
		return found
	}
}

// scalar writes a JSON value that has no parts, a number as it stands and a text without its quotation marks. An object or a
// list never equals a scalar.
func scalar(value any) string {
	switch v := value.(type) {
	case json.Number:
		return v.String()
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case nil:
		return "null"
	default:
		return fmt.Sprintf("a value with parts: %s", shown(value))
	}
}

// shown writes a value for reading.
func shown(value any) string {
	switch value.(type) {
	case map[string]any, []any:
		text, err := json.Marshal(value)
		if err != nil {
			return fmt.Sprint(value)
		}
		return string(text)
	default:
		return scalar(value)
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }
