// Command schemas writes the foreign protobuf schemas that the contracts import, taken from the Go packages in go.sum,
// so that a schema is always the one the code is built with.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	_ "buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"github.com/jhump/protoreflect/v2/protoprint"
	_ "google.golang.org/genproto/googleapis/api/annotations"
	_ "google.golang.org/genproto/googleapis/api/httpbody"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// wanted lists the schemas by path prefix; google/protobuf is built into buf.
var wanted = []string{"buf/validate/validate.proto", "google/api/annotations.proto", "google/api/http.proto", "google/api/httpbody.proto"}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: schemas DIRECTORY")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "schemas:", err)
		os.Exit(1)
	}
}

func write(dir string) error {
	printer := protoprint.Printer{}
	var failed error
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		if !isWanted(file.Path()) {
			return true
		}
		text, err := printer.PrintProtoToString(file)
		if err != nil {
			failed = fmt.Errorf("print %s: %w", file.Path(), err)
			return false
		}
		target := filepath.Join(dir, filepath.FromSlash(file.Path()))
		if err := os.MkdirAll(filepath.Dir(target), 0o750); err != nil {
			failed = err
			return false
		}
		if err := os.WriteFile(target, []byte(text), 0o600); err != nil {
			failed = err
			return false
		}
		return true
	})
	return failed
}

func isWanted(path string) bool {
	for _, prefix := range wanted {
		if strings.HasPrefix(path, prefix) {
			return true
		}
	}
	return false
}
