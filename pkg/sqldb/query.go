package sqldb

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
)

// Collect runs a query and scans every row. Scan takes *sql.Rows, or a Row where it also serves a batch.
func Collect[T any, R Row](ctx context.Context, q Querier, scan func(R) (T, error), query string, args ...any) ([]T, error) {
	var out []T
	err := Each(ctx, q, scan, func(row T) error { out = append(out, row); return nil }, query, args...)
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Each runs a query and hands over row by row, so that memory does not grow with their number. An error of fn ends it and comes
// back as it is. Fn must not use q.
func Each[T any, R Row](ctx context.Context, q Querier, scan func(R) (T, error), fn func(T) error, query string, args ...any) error {
	rows, err := q.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	scanned := any(rows).(R) //nolint:forcetypeassert // *sql.Rows is both of the kinds there are
	for rows.Next() {
		row, err := scan(scanned)
		if err != nil {
			return err
		}
		if err := fn(row); err != nil {
			return err
		}
	}
	return rows.Err()
}

// First returns the first row of a query, or sql.ErrNoRows. It wraps a call of Collect.
func First[T any](rows []T, err error) (T, error) {
	if err == nil && len(rows) == 0 {
		err = sql.ErrNoRows
	}
	if err != nil {
		var none T
		return none, err
	}
	return rows[0], nil
}

// Filter gathers the conditions of a query and their arguments. The zero value lets every row through.
type Filter struct {
	conditions []string
	args       []any
}

// Where adds a condition in which each ? stands for the next argument.
func (f *Filter) Where(condition string, args ...any) {
	for _, arg := range args {
		f.args = append(f.args, arg)
		condition = strings.Replace(condition, "?", "$"+strconv.Itoa(len(f.args)), 1)
	}
	f.conditions = append(f.conditions, condition)
}

// Equal adds a condition for each column whose value is not empty. Columns and values alternate.
func (f *Filter) Equal(pairs ...string) {
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			f.Where(pairs[i]+" = ?", pairs[i+1])
		}
	}
}

// In adds a condition that a column holds one of some values; no values means that nothing matches.
func (f *Filter) In(column string, values []string) {
	if len(values) == 0 {
		f.conditions = append(f.conditions, "1 = 0")
		return
	}
	marks := strings.TrimSuffix(strings.Repeat("?, ", len(values)), ", ")
	args := make([]any, len(values))
	for i, value := range values {
		args[i] = value
	}
	f.Where(fmt.Sprintf("%s IN (%s)", column, marks), args...)
}

// Within limits a column to some values; nil means all.
func (f *Filter) Within(column string, values []string) {
	if values != nil {
		f.In(column, values)
	}
}

// Arg adds an argument that stands outside the conditions, and returns its parameter.
func (f *Filter) Arg(value any) string {
	f.args = append(f.args, value)
	return "$" + strconv.Itoa(len(f.args))
}

// String writes the conditions as a WHERE clause, or nothing.
func (f *Filter) String() string {
	if len(f.conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(f.conditions, " AND ")
}

// Limit writes a bound on the number of rows; 0 means none. Call it after the last condition.
func (f *Filter) Limit(rows int) string {
	if rows == 0 {
		return ""
	}
	f.args = append(f.args, rows)
	return " LIMIT $" + strconv.Itoa(len(f.args))
}

// Args returns the arguments. Call it after Limit.
func (f *Filter) Args() []any { return f.args }
