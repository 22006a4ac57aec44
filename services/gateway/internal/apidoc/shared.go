package apidoc

import (
	"slices"
	"strconv"
)

const correlationExample = "0197d5a0-9b1e-7a44-8c3d-2f60b7a1d9e8"

// parameters are the headers that calls share.
func parameters() object {
	text := func(most int) object { return object{{"type", "string"}, {"maxLength", most}} }
	return object{
		{"IdempotencyKey", object{
			{"name", "Idempotency-Key"},
			{"in", "header"},
			{"required", false},
			{"description", "The client's identifier of the request; `request_id` in the body says the same, and one of them is needed. " +
				"The same key with the same content returns the stored answer, with other content 409 `REQUEST_ID_REUSED`."},
			{"schema", text(128)},
			{"example", "0197d5a0-3c2b-7d1e-9f00-5a6b7c8d9e0f"},
		}},
		{"IfMatch", object{
			{"name", "If-Match"},
			{"in", "header"},
			{"required", false},
			{"description", "Entity tag from the last read; `etag` in the body says the same. If the resource has changed since, the answer is 412."},
			{"schema", text(130)},
			{"example", `"3"`},
		}},
		{"IfNoneMatch", object{
			{"name", "If-None-Match"},
			{"in", "header"},
			{"required", false},
			{"description", "Entity tags the caller holds; if one is still right, the answer is 304 without a body."},
			{"schema", text(1000)},
			{"example", `"3"`},
		}},
		{"CorrelationId", object{
			{"name", "X-Correlation-Id"},
			{"in", "header"},
			{"required", false},
			{"description", "Identifier that follows the call through all logs; made up if none is sent."},
			{"schema", append(text(64), member{"pattern", "^[A-Za-z0-9._-]{1,64}$"})},
			{"example", correlationExample},
		}},
	}
}

// headers are the headers that answers share.
func headers() object {
	header := func(description, example string) object {
		return object{{"description", description}, {"schema", object{{"type", "string"}}}, {"example", example}}
	}
	return object{
		{"CorrelationId", header("Identifier that follows the call through all logs.", correlationExample)},
		{"ETag", header("Tag of this version of the resource, for If-Match and If-None-Match.", `"3"`)},
		{"IdempotentReplay", header("`true` if the answer was stored by an earlier request with the same key.", "true")},
		{"RetryAfter", header("Seconds to wait before the next try.", "1")},
		{"Challenge", header("How to authenticate (RFC 6750).", `Bearer realm="pcnfunding", error="invalid_token", error_description="the token has expired"`)},
	}
}

// failure is one kind of error answer.
type failure struct {
	code, name, title, description string
	example                        object
}

func failures() []failure {
	return []failure{
		{"400", "BadRequest", "Bad Request", "The request is invalid, or the state of things forbids it; `reason` says which and `errors` names the fields.", object{
			{"reason", "UNKNOWN_FIELD"},
			{"detail", `The request has no field "mnth" at line 1, column 2.`},
			{"errors", []any{object{{"field", "mnth"}, {"reason", "UNKNOWN_FIELD"}, {"description", "no such field"}}}},
		}},
		{"401", "Unauthenticated", "Unauthorized", "No valid bearer token was sent.", object{
			{"reason", "TOKEN_EXPIRED"}, {"detail", "The token has expired."},
		}},
		{"403", "Denied", "Forbidden", "The caller's roles do not allow the call.", object{
			{"reason", "ROLE_REQUIRED"}, {"detail", "The call needs the role finance_approver."},
		}},
		{"404", "NotFound", "Not Found", "There is no such resource, or none that the caller may see.", object{
			{"reason", "RESOURCE_NOT_FOUND"}, {"detail", "There is no such resource."},
		}},
		{"409", "Conflict", "Conflict", "The request identifier was used before with other content.", object{
			{"reason", "REQUEST_ID_REUSED"}, {"detail", "The request identifier was used before with other content."}, {"metadata", object{{"differs", "month"}}},
		}},
		{"412", "Stale", "Precondition Failed", "The resource changed since it was read: read it again.", object{
			{"reason", "RATE_CHANGED"}, {"detail", "The rate changed since it was read."},
		}},
		{"413", "TooLarge", "Request Entity Too Large", "The body is larger than its limit: 4 MiB of JSON, 16 MiB of a file.", object{
			{"reason", "BODY_TOO_LARGE"}, {"detail", "The body is larger than 4194304 bytes."},
		}},
		{"415", "UnsupportedMedia", "Unsupported Media Type", "The body is of a type the call does not take.", object{
			{"reason", "UNSUPPORTED_MEDIA_TYPE"}, {"detail", "The call takes application/json in UTF-8."},
		}},
		{"429", "TooMany", "Too Many Requests", "Too many requests: wait as long as Retry-After says.", object{
			{"reason", "RATE_LIMITED"}, {"detail", "Too many requests. Slow down."},
		}},
		{"500", "Internal", "Internal Server Error", "A defect. Only the correlation id is shown.", object{
			{"reason", "INTERNAL"}, {"detail", "An internal error occurred. Report the correlation id."},
		}},
		{"503", "Busy", "Service Unavailable", "Not possible at the moment: try again with the same idempotency key.", object{
			{"reason", "TRY_AGAIN"}, {"detail", "The month is being closed by another request."},
		}},
		{"504", "Timeout", "Gateway Timeout", "The call did not finish in time: try again with the same idempotency key.", object{
			{"reason", "DEADLINE_EXCEEDED"}, {"detail", "The call did not finish in time. Try again with the same idempotency key."},
		}},
	}
}

func errorName(code string) string {
	all := failures()
	return all[slices.IndexFunc(all, func(f failure) bool { return f.code == code })].name
}

// errorResponses are the error answers that operations refer to.
func errorResponses() object {
	var out object
	for _, f := range failures() {
		status, _ := strconv.Atoi(f.code) // a constant of this file
		reason, _ := f.example[0].Value.(string)
		example := object{
			{"type", "urn:pcnfunding:problem:" + reason},
			{"title", f.title},
			{"status", status},
			f.example[1],
			{"instance", "urn:pcnfunding:request:" + correlationExample},
			f.example[0],
		}
		example = append(example, f.example[2:]...)
		answer := object{{"X-Correlation-Id", reference("headers", "CorrelationId")}}
		switch f.code {
		case "401":
			answer = append(answer, member{"WWW-Authenticate", reference("headers", "Challenge")})
		case "429", "503":
			answer = append(answer, member{"Retry-After", reference("headers", "RetryAfter")})
		}
		out = append(out, member{f.name, object{
			{"description", f.description},
			{"headers", answer},
			{"content", object{{"application/problem+json", object{{"schema", reference("schemas", "Problem")}, {"example", example}}}}},
		}})
	}
	return out
}

func problemSchema() object {
	text := func(description string) object { return object{{"type", "string"}, {"description", description}} }
	return object{
		{"type", "object"},
		{"description", "Problem is the body of every error (RFC 9457)."},
		{"properties", object{
			{"type", text("Stable name of the kind of problem: urn:pcnfunding:problem: and the reason.")},
			{"title", text("Words for the HTTP status.")},
			{"status", object{{"type", "integer"}, {"minimum", 400}, {"maximum", 599}, {"description", "The HTTP status."}}},
			{"detail", text("What is wrong, in words for a person. May change; do not parse it.")},
			{"instance", text("urn:pcnfunding:request: and the correlation id.")},
			{"reason", text("Stable reason code; released codes are never renamed or reused.")},
			{"metadata", object{{"type", "object"}, {"description", "The figures and codes involved."}, {"additionalProperties", object{{"type", "string"}}}}},
			{"errors", object{{"type", "array"}, {"description", "The fields that are wrong."}, {"items", object{
				{"type", "object"},
				{"properties", object{
					{"field", text("Path of the field, with the names of the contract.")},
					{"reason", text("Stable reason code.")},
					{"description", text("What is wrong with it.")},
				}},
				{"required", []string{"field", "reason", "description"}},
			}}}},
		}},
		{"required", []string{"type", "title", "status", "reason"}},
	}
}

func info(version string) object {
	return object{
		{"title", "PCN funding suite"},
		{"version", version},
		{"summary", "What every primary care network of England is owed each month, and why, to the penny."},
		{"description", introduction},
		{"license", object{{"name", "Apache-2.0"}, {"identifier", "Apache-2.0"}}},
	}
}

const introduction = `The REST side of the PCN funding suite. The same calls are served over gRPC under the same names.

**Authentication.** Every call needs ` + "`Authorization: Bearer <token>`" + `: a JWT of the suite's OIDC issuer for the audience ` + "`pcnfunding`" + `, with the claims ` + "`roles`" + ` and the codes they are held for, ` + "`commissioners`" + ` (` + "`*`" + ` is all of England) and ` + "`pcns`" + `. Each operation names its roles. What a caller may not see is 404, and lists leave it out.

**Money** is a whole number of pence in fields that end in ` + "`_pence`" + `, written as a JSON string, as all 64-bit numbers are. Rates and populations are exact decimals in strings. Nothing is a floating number.

**Time.** Months are ` + "`YYYY-MM`" + `, days ` + "`YYYY-MM-DD`" + `, moments RFC 3339 in UTC. ` + "`known_at`" + ` asks for an answer as it was known then.

**Names** are written as in this document; a field or query parameter of another name is refused with ` + "`UNKNOWN_FIELD`" + `. Answers show empty and zero values.

**Idempotency.** A call that changes something needs ` + "`Idempotency-Key`" + ` (or ` + "`request_id`" + ` in the body). The same key with the same content gives the stored answer with ` + "`Idempotent-Replay: true`" + `; with other content 409 ` + "`REQUEST_ID_REUSED`" + `. A call whose outcome is unknown is repeated with the same key.

**Entity tags.** Resources that change carry ` + "`etag`" + ` and the header ` + "`ETag`" + `. Send it as ` + "`If-Match`" + ` with the change; 412 means that somebody was faster. ` + "`If-None-Match`" + ` on a read saves the body (304).

**Pages.** Lists take ` + "`page_size`" + ` (at most 1,000) and ` + "`page_token`" + `; ` + "`next_page_token`" + ` is empty on the last page. A token holds for the query that gave it.

**Files.** What can be had as CSV or PDF has a path of its own, and is also given at the path of the resource to a caller whose ` + "`Accept`" + ` names ` + "`text/csv`" + ` or ` + "`application/pdf`" + ` before JSON. A file that is sent is the body itself; what it is stands in the query.

**Errors** are ` + "`application/problem+json`" + ` (RFC 9457) with a stable ` + "`reason`" + `, the figures involved in ` + "`metadata`" + ` and the fields in ` + "`errors`" + `. 429 and 503 carry ` + "`Retry-After`" + `. An unexpected error shows only its correlation id, which every answer carries in ` + "`X-Correlation-Id`" + `.

**Events.** What happens is also published as events on NATS JetStream; see docs/events.md and docs/asyncapi.yaml.`
