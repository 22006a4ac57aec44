package check

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
)

// ReasonFileInvalid says that a file of examples is not sound.
const ReasonFileInvalid = "CHECK_FILE_INVALID"

var header = []string{"id", "method", "request", "expected", "source"}

// example is one row of a file, ready to be called.
type example struct {
	id       string
	method   protoreflect.MethodDescriptor
	request  *dynamicpb.Message
	expected any // JSON by proto field names, numbers as json.Number
	source   string
}

// read reads a whole file and refuses it with everything that is wrong, each with its line and column.
func read(r io.Reader) ([]example, error) {
	rows := csv.NewReader(skipMark(r))
	rows.FieldsPerRecord = len(header)
	first, err := rows.Read()
	if err != nil || !slices.Equal(first, header) {
		return nil, fault.New(fault.Invalid, ReasonFileInvalid, "the file does not begin with the header %s", strings.Join(header, ",")).Because(err)
	}
	var out []example
	var wrong problems
	lines := make(map[string]int)
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			wrong.add("", err)
			break
		}
		line, _ := rows.FieldPos(0)
		at := "line " + strconv.Itoa(line)
		if earlier, taken := lines[row[0]]; taken || row[0] == "" {
			wrong.add(at+", column id", fmt.Errorf("%q is empty or stands on line %d too", money.Clip(row[0]), earlier))
		}
		lines[row[0]] = line
		if e, ok := readRow(at, row, &wrong); ok {
			out = append(out, e)
		}
	}
	if len(out) == 0 && len(wrong) == 0 {
		wrong.add("", errors.New("there is no example in it"))
	}
	if len(wrong) > 0 {
		return nil, wrong.fault()
	}
	return out, nil
}

func readRow(at string, row []string, wrong *problems) (example, bool) {
	e := example{id: row[0], source: oneLine(row[4])}
	var err error
	if e.source == "" {
		wrong.add(at+", column source", errors.New("an example needs its source"))
	}
	if e.method, err = findMethod(row[1]); err != nil {
		wrong.add(at+", column method", err)
		return e, false
	}
	e.request = dynamicpb.NewMessage(e.method.Input())
	if err := protojson.Unmarshal([]byte(row[2]), e.request); err != nil {
		wrong.add(at+", column request", err)
		return e, false
	}
	expected, err := decodeJSON([]byte(row[3]))
	if err == nil {
		e.expected, err = canonical("", expected, e.method.Output())
	}
	if err != nil {
		wrong.add(at+", column expected", err)
		return e, false
	}
	return e, true
}

// quotation is how the names of calls begin that compute from the request alone.
const quotation = "Quote"

// findMethod finds a quotation call by its full gRPC name.
func findMethod(name string) (protoreflect.MethodDescriptor, error) {
	service, method, _ := strings.Cut(strings.TrimPrefix(name, "/"), "/")
	descriptor, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service))
	if err != nil {
		return nil, fmt.Errorf("%q is not a method written package.Service/Method that this release has", money.Clip(name))
	}
	if s, ok := descriptor.(protoreflect.ServiceDescriptor); ok {
		if m := s.Methods().ByName(protoreflect.Name(method)); m != nil && !m.IsStreamingClient() && !m.IsStreamingServer() {
			if !strings.HasPrefix(method, quotation) {
				return nil, fmt.Errorf("%q is no quotation: a check asks and changes nothing", money.Clip(name))
			}
			return m, nil
		}
	}
	return nil, fmt.Errorf("%q is not a method written package.Service/Method that this release has", money.Clip(name))
}

// decodeJSON reads exactly one JSON object, with numbers as they are written.
func decodeJSON(text []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value map[string]any
	if err := decoder.Decode(&value); err != nil {
		return nil, fmt.Errorf("it is not a JSON object: %w", err)
	}
	if value == nil {
		return nil, errors.New("it is not a JSON object")
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON object")
	}
	return value, nil
}

// canonical rewrites what is expected of a message by proto field names, and refuses names the message does not have.
func canonical(path string, value any, message protoreflect.MessageDescriptor) (any, error) {
	object, ok := value.(map[string]any)
	if !ok || wellKnown(message) {
		return value, nil
	}
	out := make(map[string]any, len(object))
	for name, inner := range object {
		at := join(path, name)
		field := message.Fields().ByTextName(name)
		if field == nil {
			field = message.Fields().ByJSONName(name)
		}
		if field == nil {
			return nil, fmt.Errorf("%s has no field %s", message.Name(), at)
		}
		if _, twice := out[field.TextName()]; twice {
			return nil, fmt.Errorf("field %s stands twice", at)
		}
		rewritten, err := canonicalField(at, inner, field)
		if err != nil {
			return nil, err
		}
		out[field.TextName()] = rewritten
	}
	return out, nil
}

func canonicalField(path string, value any, field protoreflect.FieldDescriptor) (any, error) {
	element := field.Message()
	switch inner := value.(type) {
	case []any:
		if !field.IsList() {
			return nil, fmt.Errorf("field %s is not a list", path)
		}
		if element == nil {
			return value, nil
		}
		for i := range inner {
			var err error
			if inner[i], err = canonical(index(path, i), inner[i], element); err != nil {
				return nil, err
			}
		}
		return inner, nil
	case map[string]any:
		if field.IsMap() {
			return canonicalMap(path, inner, field.MapValue())
		}
		if element == nil || field.IsList() {
			return nil, fmt.Errorf("field %s is not an object", path)
		}
		return canonical(path, inner, element)
	default:
		return value, nil
	}
}

func canonicalMap(path string, object map[string]any, element protoreflect.FieldDescriptor) (any, error) {
	for key := range object {
		if element.Message() == nil {
			continue
		}
		var err error
		if object[key], err = canonical(join(path, key), object[key], element.Message()); err != nil {
			return nil, err
		}
	}
	return object, nil
}

// wellKnown tells the messages that JSON writes in a way of their own.
func wellKnown(message protoreflect.MessageDescriptor) bool {
	return message.ParentFile().Package() == "google.protobuf"
}

// problems is everything that is wrong with a file.
type problems []fault.Violation

func (p *problems) add(at string, err error) {
	*p = append(*p, fault.Violation{Field: at, Reason: ReasonFileInvalid, Description: oneLine(err.Error())})
}

func (p problems) fault() error {
	texts := make([]string, len(p))
	for i, problem := range p {
		texts[i] = problem.Description
		if problem.Field != "" {
			texts[i] = problem.Field + ": " + problem.Description
		}
	}
	f := fault.New(fault.Invalid, ReasonFileInvalid, "the file is not sound: %s", strings.Join(texts, "; "))
	f.Violations = p
	return f
}

// skipMark skips the byte order mark that spreadsheets write.
func skipMark(r io.Reader) io.Reader {
	mark := []byte("\xef\xbb\xbf")
	start := make([]byte, len(mark))
	n, _ := io.ReadFull(r, start) // a failure to read shows again when the rest is read
	if bytes.Equal(start[:n], mark) {
		return r
	}
	return io.MultiReader(bytes.NewReader(start[:n]), r)
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
