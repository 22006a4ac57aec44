package sqldb

import (
	"database/sql"
	"fmt"

	"google.golang.org/protobuf/proto"
)

// batchSize is how many values InBatches hands over at a time: few enough for the parameters of a statement on either engine.
const batchSize = 400

// Marshal writes a message for a column. The same message gives the same bytes, and an empty one gives none rather than null.
func Marshal(m proto.Message) ([]byte, error) {
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("marshal %s: %w", m.ProtoReflect().Descriptor().FullName(), err)
	}
	if body == nil {
		body = []byte{}
	}
	return body, nil
}

// Unmarshal reads a message out of a column.
func Unmarshal[T proto.Message](body []byte, into T) (T, error) {
	if err := proto.Unmarshal(body, into); err != nil {
		return into, fmt.Errorf("read %s: %w", into.ProtoReflect().Descriptor().FullName(), err)
	}
	return into, nil
}

// Text scans one text column.
func Text(rows *sql.Rows) (text string, err error) {
	err = rows.Scan(&text)
	return text, err
}

// One tells whether a statement changed exactly one row: otherwise another came first.
func One(result sql.Result, err error) (bool, error) {
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// InBatches calls fn for a few hundred values at a time, in order, up to the first error.
func InBatches(values []string, fn func([]string) error) error {
	for start := 0; start < len(values); start += batchSize {
		if err := fn(values[start:min(start+batchSize, len(values))]); err != nil {
			return err
		}
	}
	return nil
}
