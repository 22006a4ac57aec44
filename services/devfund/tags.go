package devfund

import (
	"strconv"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
)

func versionTag(version int64) string { return strconv.FormatInt(version, 10) }

func checkTag(tag string, version int64) error {
	switch tag {
	case versionTag(version):
		return nil
	case "":
		return fault.New(fault.Invalid, reasonEtagRequired, "give the etag of the last read").At("etag", "the etag of the last read, or If-Match")
	default:
		return staleOr(nil)
	}
}

func staleOr(err error) error {
	if err != nil {
		return err
	}
	return fault.New(fault.Stale, reasonVersionChanged, "it has changed since it was read: read it again")
}
