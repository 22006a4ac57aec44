// Package check runs worked examples against the quotation calls of a suite, so that a finance team can prove a release
// against its own figures before using it.
//
// A file of examples is CSV with the header id,method,request,expected,source. The method is a full gRPC name such as
// pcnfunding.core.v1.CoreService/QuoteBeds. Request and expected are JSON objects; expected names only the fields that
// matter, and what it does not name may be anything. A list is compared whole: it has as many elements as expected, in the
// same order. Figures are compared as they are written, whether or not they stand in quotation marks.
package check

import (
	"context"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/dynamicpb"
)

// Result counts the examples of a file.
type Result struct {
	Passed int
	Failed int
}

// Run reads examples, calls each and writes every difference to out, one a line, and at the end one line with the counts. conn
// gives the connection to a service by its full name, or nil where there is none. The contracts must be linked into the
// program. A file that is not sound is refused whole with a fault of kind Invalid before anything is called; the failure of a
// call is a difference. Run stops early, with an error, only if ctx ends or out cannot be written.
func Run(ctx context.Context, r io.Reader, conn func(service string) grpc.ClientConnInterface, out io.Writer) (Result, error) {
	examples, err := read(r)
	if err != nil {
		return Result{}, err
	}
	var result Result
	for _, e := range examples {
		differences, err := e.run(ctx, conn)
		if err != nil {
			return result, fmt.Errorf("example %s: %w", e.id, err)
		}
		if len(differences) == 0 {
			result.Passed++
			continue
		}
		result.Failed++
		for _, d := range differences {
			if _, err := fmt.Fprintf(out, "%s: %s: expected %s, got %s (%s)\n", e.id, d.field, d.expected, d.got, e.source); err != nil {
				return result, fmt.Errorf("write a difference: %w", err)
			}
		}
	}
	if _, err := fmt.Fprintf(out, "%d passed, %d failed\n", result.Passed, result.Failed); err != nil {
		return result, fmt.Errorf("write the counts: %w", err)
	}
	return result, nil
}

// run calls one example and returns how the answer differs.
func (e *example) run(ctx context.Context, conn func(service string) grpc.ClientConnInterface) ([]difference, error) {
	service := string(e.method.Parent().FullName())
	connection := conn(service)
	if connection == nil {
		return []difference{{"call", "an answer", "no service " + service}}, nil
	}
	response := dynamicpb.NewMessage(e.method.Output())
	err := connection.Invoke(ctx, "/"+service+"/"+string(e.method.Name()), e.request, response)
	if ctx.Err() != nil {
		return nil, fmt.Errorf("call %s: %w", e.method.FullName(), ctx.Err())
	}
	if err != nil {
		return []difference{{"call", "an answer", refusal(err)}}, nil
	}
	got, err := decode(response)
	if err != nil {
		return nil, err
	}
	return compare(nil, "", e.expected, got), nil
}

// refusal puts the refusal of a call on one line.
func refusal(err error) string {
	s := status.Convert(err)
	return fmt.Sprintf("%s: %s", s.Code(), oneLine(s.Message()))
}
