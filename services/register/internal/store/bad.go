package store

import (
	"context"
	"fmt"
	"iter"

	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/services/register/internal/files"
)

// BadRow is one bad value of a load or of a refused file. Number counts its bad values from 1.
type BadRow struct {
	Number int64
	files.Bad
}

// AddQuarantine writes the bad values of a load.
func AddQuarantine(ctx context.Context, tx *sqldb.Tx, position int64, bad iter.Seq2[files.Bad, error]) error {
	if err := addBad(ctx, tx, "quarantined_rows", "load_position", position, bad); err != nil {
		return fmt.Errorf("store the quarantined rows: %w", err)
	}
	return nil
}

// AddRefused writes the bad values of a file of which nothing was stored, unless that was done before.
func AddRefused(ctx context.Context, tx *sqldb.Tx, report, refusedTo string, bad iter.Seq2[files.Bad, error]) error {
	result, err := tx.Exec(ctx, `INSERT INTO refused_files (report_id, refused_to) VALUES ($1, $2) ON CONFLICT DO NOTHING`, report, refusedTo)
	if err != nil {
		return fmt.Errorf("store the report of a refused file: %w", err)
	}
	if count, err := result.RowsAffected(); err != nil || count == 0 {
		return err
	}
	if err := addBad(ctx, tx, "refused_rows", "report_id", report, bad); err != nil {
		return fmt.Errorf("store the report of a refused file: %w", err)
	}
	return nil
}

func addBad(ctx context.Context, tx *sqldb.Tx, table, key string, value any, bad iter.Seq2[files.Bad, error]) error {
	var number int64
	rows := func(yield func([]any, error) bool) {
		for b, err := range bad {
			number++
			if !yield([]any{value, number, b.Line, b.Column, b.Value, b.Reason, b.Detail}, err) || err != nil {
				return
			}
		}
	}
	_, err := tx.BulkInsert(ctx, table, []string{key, "number", "line", "column_name", "value", "reason", "detail"}, rows)
	return err
}

// RefusedTo returns whom a file was refused to by the identifier of its report; sql.ErrNoRows if there is none.
func RefusedTo(ctx context.Context, q sqldb.Querier, report string) (subject string, err error) {
	err = q.QueryRow(ctx, `SELECT refused_to FROM refused_files WHERE report_id = $1`, report).Scan(&subject)
	return subject, err
}

// QuarantinedRows returns bad values of a load after a number, in the order of the file.
func QuarantinedRows(ctx context.Context, q sqldb.Querier, load, after int64, limit int) ([]BadRow, error) {
	return badRows(ctx, q, "quarantined_rows", "load_position", load, after, limit)
}

// RefusedRows returns bad values of a refused file after a number, in the order of the file.
func RefusedRows(ctx context.Context, q sqldb.Querier, report string, after int64, limit int) ([]BadRow, error) {
	return badRows(ctx, q, "refused_rows", "report_id", report, after, limit)
}

func badRows(ctx context.Context, q sqldb.Querier, table, key string, value any, after int64, limit int) ([]BadRow, error) {
	out, err := list(ctx, q, func(row scanner) (BadRow, error) {
		var r BadRow
		err := row.Scan(&r.Number, &r.Line, &r.Column, &r.Value, &r.Reason, &r.Detail)
		return r, err
	}, `SELECT number, line, column_name, value, reason, detail FROM `+table+`
		WHERE `+key+` = $1 AND number > $2 ORDER BY number LIMIT $3`, value, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list bad rows: %w", err)
	}
	return out, nil
}
