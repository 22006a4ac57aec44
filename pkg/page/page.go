// Package page reads and writes the tokens by which lists are read page by page. A token holds the key of the last row seen,
// so that rows added meanwhile move no page.
package page

import (
	"encoding/base64"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
)

// ReasonToken says that a page token is not one that a list gave out.
const ReasonToken = "PAGE_TOKEN_INVALID"

const prefix = "v1:"

// Token writes the key of the last row as an opaque token; an empty key gives an empty token.
func Token(key string) string {
	if key == "" {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString([]byte(prefix + key))
}

// Key reads the key out of a token; an empty token gives an empty key.
func Key(token string) (string, error) {
	if token == "" {
		return "", nil
	}
	text, err := base64.RawURLEncoding.DecodeString(token)
	key, ok := strings.CutPrefix(string(text), prefix)
	if err != nil || !ok {
		return "", fault.New(fault.Invalid, ReasonToken, "the page token is not one that this list gave out").
			At("page_token", "use next_page_token of the page before, or leave it empty")
	}
	return key, nil
}

// Size returns the rows wanted: the number asked for, or a default for 0.
func Size(asked int32, otherwise int) int {
	if asked == 0 {
		return otherwise
	}
	return int(asked)
}

// Cut splits rows read with one beyond the page: it returns the page and the token of the next, which is empty at the end.
func Cut[T any](rows []T, size int, key func(T) string) ([]T, string) {
	if len(rows) <= size {
		return rows, ""
	}
	return rows[:size], Token(key(rows[size-1]))
}
