package audit

import (
	"google.golang.org/protobuf/types/known/timestamppb"

	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
)

// Proto writes the entry as its message.
func (r Row) Proto() *typev1.AuditEntry {
	return &typev1.AuditEntry{
		EntryId: r.ID, At: timestamppb.New(r.At), Actor: r.Actor, Roles: r.Roles, Method: r.Method, Resource: r.Resource,
		CommissionerCode: r.CommissionerCode, Summary: r.Summary, Seal: r.Seal,
	}
}
